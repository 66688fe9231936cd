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

const SECRET: &[&str] =
    &["token", "secret", "password", "passcode", "passwd", "apikey", "authorization", "signature"];
const BORN: &[&str] = &["birth", "birthday", "birthdate", "dob", "geburtsdatum", "anniversary"];
#[rustfmt::skip]
const PERSONAL: &[&str] = &[
    "phone", "mobile", "mobil", "handy", "telefon", "fax", "zip", "plz", "postleitzahl", "postcode",
    "street", "strasse", "house", "city", "ort", "stadt", "lat", "latitude", "lon", "lng",
    "longitude", "ip", "gender", "geschlecht", "age", "salary", "iban", "card", "attributes",
    "properties", "profile",
];
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
    if (has(SECRET) || whole.contains("apikey")) && !place {
        Meaning::Secret
    } else if has(BORN) {
        Meaning::Born
    } else if has(PERSONAL) {
        Meaning::Personal
    } else if has(ID) {
        Meaning::Id
    } else {
        Meaning::Other
    }
}
