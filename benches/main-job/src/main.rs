//! The main job by hand: the smallest Rust program that does it, with typed structs, for the data
//! that the sandbox has, and with nothing kept that would survive a stop.

// A program for the terminal.
#![allow(clippy::print_stdout, reason = "a program of its own")]

use std::error::Error;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const PAGE: usize = 1000;

#[derive(Deserialize)]
struct Token {
    access_token: String,
}

#[derive(Deserialize)]
struct Group {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Receiver {
    id: String,
    email: String,
    attributes: Attributes,
    global_attributes: Attributes,
    tags: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Attributes {
    firstname: String,
    lastname: String,
    name: String,
    salutation: String,
    title: String,
    street: String,
    zip: String,
    city: String,
    country: String,
    birthday: String,
    phone: String,
    language: String,
}

#[derive(Serialize)]
struct Upload {
    d: Vec<Record>,
}

#[derive(Serialize)]
struct Record {
    identity: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "profileData")]
    profile: Profile,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Profile {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    email: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    #[serde(rename = "DOB", skip_serializing_if = "Option::is_none")]
    birthday: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    salutation: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    language: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    street: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    city: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    country: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    tags: String,
    newsletter: bool,
}

fn map(receiver: Receiver) -> Record {
    let Receiver { id, email, attributes: local, global_attributes: global, tags } = receiver;
    let first = either(local.firstname, global.firstname);
    let last = either(either(local.lastname, local.name), either(global.lastname, global.name));
    let zip = either(local.zip, global.zip);
    let city = either(local.city, global.city);
    Record {
        identity: id,
        kind: "profile",
        profile: Profile {
            name: format!("{first} {last}").trim().to_owned(),
            email: email.to_lowercase(),
            phone: Some(either(local.phone, global.phone)).filter(|phone| is_phone(phone)),
            birthday: birthday(&either(local.birthday, global.birthday)),
            salutation: either(local.salutation, global.salutation),
            title: either(local.title, global.title),
            language: either(local.language, global.language).to_uppercase(),
            street: either(local.street, global.street),
            city: if zip.is_empty() { city } else { format!("{zip} {city}") },
            country: either(local.country, global.country),
            tags: tags.join(", "),
            newsletter: true,
        },
    }
}

fn either(one: String, other: String) -> String {
    if one.is_empty() { other } else { one }
}

fn is_phone(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|digit| digit.is_ascii_digit())
    })
}

/// `YYYY-MM-DD` as CleverTap's date, by counting days from 0000-03-01.
fn birthday(text: &str) -> Option<String> {
    let mut parts = text.split('-').map(str::parse::<i64>);
    let (Some(Ok(year)), Some(Ok(month)), Some(Ok(day))) =
        (parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some(format!("$D_{}", (days - 719_468) * 86_400))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let env = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}"));
    let cleverreach = env("CLEVERREACH_URL")?;
    let clevertap = env("CLEVERTAP_URL")?;
    let (project, passcode) = (env("CLEVERTAP_PROJECT_ID")?, env("CLEVERTAP_PASSCODE")?);
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return Err("another TLS provider is installed".into());
    }
    let client = reqwest::Client::builder().no_proxy().build()?;

    let grant = json!({
        "grant_type": "client_credentials",
        "client_id": env("CLEVERREACH_CLIENT_ID")?,
        "client_secret": env("CLEVERREACH_CLIENT_SECRET")?,
    });
    let oauth = format!("{}/oauth/token.php", cleverreach.trim_end_matches("/v3"));
    let token = client.post(oauth).json(&grant).send().await?.error_for_status()?;
    let token = token.json::<Token>().await?.access_token;

    let groups = client.get(format!("{cleverreach}/groups.json")).bearer_auth(&token);
    let groups: Vec<Group> = groups.send().await?.error_for_status()?.json().await?;
    let group = groups.into_iter().find(|group| group.name == "Newsletter");
    let group = group.ok_or("there is no group Newsletter")?.id;

    let mut uploaded = 0;
    for page in 0.. {
        let url = format!("{cleverreach}/groups.json/{group}/receivers");
        let request = client.get(url).bearer_auth(&token).query(&[
            ("pagesize", PAGE.to_string().as_str()),
            ("page", page.to_string().as_str()),
            ("type", "all"),
            ("detail", "4"),
            ("order_by", "registered desc"),
        ]);
        let receivers: Vec<Receiver> = request.send().await?.error_for_status()?.json().await?;
        let found = receivers.len();
        if found > 0 {
            let records: Vec<Record> = receivers.into_iter().map(map).collect();
            let upload = client.post(format!("{clevertap}/1/upload"));
            let upload = upload.header("X-CleverTap-Account-Id", &project);
            let upload = upload.header("X-CleverTap-Passcode", &passcode);
            let answer = upload.json(&Upload { d: records }).send().await?.error_for_status()?;
            let answer: Value = answer.json().await?;
            if answer.get("status").and_then(Value::as_str) != Some("success") {
                return Err(format!("page {page}: {answer}").into());
            }
            uploaded += found;
        }
        if found < PAGE {
            break;
        }
    }
    println!("uploaded {uploaded}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{birthday, map};

    #[test]
    fn the_pinned_record_becomes_the_pinned_profile() {
        let record = map(serde_json::from_str(include_str!("../record.json")).unwrap());
        let profile: Value = serde_json::from_str(include_str!("../profile.json")).unwrap();
        assert_eq!(serde_json::to_value(record).unwrap(), profile);
    }

    #[test]
    fn days_are_counted_over_leap_years() {
        for (text, seconds) in
            [("1970-01-01", 0), ("2000-02-29", 951_782_400), ("1940-03-01", -941_587_200)]
        {
            assert_eq!(birthday(text), Some(format!("$D_{seconds}")), "{text}");
        }
    }
}
