//! What the name of a value says of it, in the words that systems use for people's data.

/// What a JSON key says of its values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Secret,
    /// A person's, whatever it looks like.
    Personal,
    Born,
    Id,
    Other,
}

#[rustfmt::skip]
const SECRET: &[&str] = &[
    "token", "secret", "password", "passcode", "passwd", "pwd", "passphrase", "pin", "otp", "jwt",
    "apikey", "authorization", "credential", "credentials", "signature", "cookie", "session",
    "sessionid",
];
/// What makes a key one that opens something.
const OPENS: &[&str] =
    &["api", "access", "private", "auth", "signing", "client", "master", "license", "webhook"];
const BORN: &[&str] = &["dob", "bday", "born", "geboren", "anniversary"];
/// Parts of words that are written as one, in whatever language they go on.
const BORN_PARTS: &[&str] = &["birth", "geburt"];
#[rustfmt::skip]
const PERSONAL: &[&str] = &[
    "mobile", "mobil", "handy", "cell", "whatsapp", "msisdn", "fax", "zip", "plz", "street",
    "strasse", "house", "city", "ort", "stadt", "lat", "latitude", "lon", "lng", "longitude", "geo",
    "coordinates", "coords", "ip", "gender", "geschlecht", "age", "salary",
    "income", "iban", "bic", "card", "ssn", "tax", "passport", "attributes", "properties", "profile",
    "traits",
];
const PERSONAL_PARTS: &[&str] = &["phone", "telefon", "zipcode", "postcode", "postal", "postleit"];
const ID: &[&str] = &["id", "ids", "uid", "uuid", "key"];

/// What the words of a key say.
pub(super) fn meaning(key: &str) -> Meaning {
    let mut words = vec![String::new()];
    let mut capital = true;
    for c in key.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && !capital) {
            words.push(String::new());
        }
        capital = c.is_uppercase();
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
    }
    let whole = words.concat();
    let has = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
    // A place in a list is called a token, too.
    let place = has(&["next", "page", "cursor", "previous", "prev"]);
    let part = |known: &[&str]| known.iter().any(|part| whole.contains(part));
    let opens = has(&["key"]) && has(OPENS);
    if (has(SECRET) || opens || whole.contains("apikey")) && !place {
        Meaning::Secret
    } else if has(BORN) || part(BORN_PARTS) {
        Meaning::Born
    } else if has(PERSONAL) || part(PERSONAL_PARTS) {
        Meaning::Personal
    } else if has(ID) {
        Meaning::Id
    } else {
        Meaning::Other
    }
}
