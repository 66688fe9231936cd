//! The properties of a record, checked while they are read and never copied.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::check::{Refusal, refusal};
use super::scalar::{Scalar, Text};
use crate::options::Switches;

/// The most properties of a profile or an event.
const MOST_PROPERTIES: usize = 256;
const LONGEST_NAME: usize = 120;
const LONGEST_VALUE: usize = 512;
const MOST_VALUES: usize = 100;
const MOST_ITEMS: usize = 256;

/// What no name may hold; that of a profile's property no `#` either.
const FORBIDDEN: &[char] = &['%', '>', '<', '!', '|', '&', '.', ':', ';', '$', '\'', '"', '\\'];

/// What stands where an object is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Shape {
    #[default]
    Absent,
    Object,
    Other,
}

/// What breaks a limit whose enforcement is a switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Breach {
    /// The name is empty, or has more characters or else bytes than it may.
    Name(Length),
    Forbidden,
    /// The value is too long.
    Value(Length),
    LongList,
    Items,
}

/// How much is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    /// The characters are, and so are the bytes.
    Characters,
    /// The bytes alone are.
    Bytes,
}

impl Length {
    fn beyond(text: &str, most: usize) -> Option<Self> {
        match (text.len() > most, text.chars().count() > most) {
            (false, _) => None,
            (true, false) => Some(Self::Bytes),
            (true, true) => Some(Self::Characters),
        }
    }
}

impl Breach {
    fn is_minded(self, switches: &Switches) -> bool {
        match self {
            Self::LongList => switches.uploads.long_lists_refused,
            Self::Name(Length::Bytes) | Self::Value(Length::Bytes) => {
                switches.strict_properties && switches.uploads.bytes_count
            }
            _ => switches.strict_properties,
        }
    }
}

/// The properties of an event, checked while they are read.
#[derive(Default)]
pub(super) struct EventData {
    pub(super) shape: Shape,
    count: usize,
    breaches: Vec<Breach>,
}

impl EventData {
    /// Why an event of this name is refused, if it is.
    pub(super) fn verdict(&self, name: &str, switches: &Switches) -> Result<(), Refusal> {
        let strict = switches.strict_properties;
        let code = switches.uploads.limits_code;
        if strict && name.contains(FORBIDDEN) {
            return Err(refusal(code, "Event Name is incorrect. It has a forbidden character. "));
        }
        if self.shape == Shape::Other {
            return Err(refusal(512, "Event structure is invalid. "));
        }
        if strict && self.count > MOST_PROPERTIES {
            return Err(refusal(522, "Event has too many properties. "));
        }
        // That there may be so many items is said of `Charged` alone.
        let minded = |it: &&Breach| {
            it.is_minded(switches) && (name == "Charged" || !matches!(it, Breach::Items))
        };
        match self.breaches.iter().find(minded) {
            None => Ok(()),
            Some(Breach::Items) => Err(refusal(522, "Event has too many items. ")),
            Some(Breach::Name(_)) => {
                Err(refusal(code, "Event data is incorrect. Property name is too long or empty. "))
            }
            Some(Breach::Forbidden) => Err(refusal(
                code,
                "Event data is incorrect. Property name has a forbidden character. ",
            )),
            Some(_) => Err(refusal(code, "Event data is incorrect. Property value is too long. ")),
        }
    }

    fn look_at(&mut self, name: &str, value: &Scalar<'_>) {
        self.count += 1;
        if name == "Items" && matches!(value, Scalar::List(items) if *items > MOST_ITEMS) {
            self.breaches.push(Breach::Items);
        }
        look_at(&mut self.breaches, name, value);
    }
}

/// The properties of a profile, checked while they are read.
#[derive(Default)]
pub(super) struct ProfileData {
    shape: Shape,
    custom: usize,
    /// The first thing wrong with a predefined field.
    refused: Option<Refusal>,
    breaches: Vec<Breach>,
}

impl ProfileData {
    pub(super) fn verdict(&self, event: &EventData, switches: &Switches) -> Result<(), Refusal> {
        match self.shape {
            Shape::Absent if event.shape == Shape::Absent => {
                return Err(refusal(524, "Record is neither an event nor a profile. "));
            }
            Shape::Object => {}
            _ => return Err(refusal(555, "Profile data is incorrect. ")),
        }
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        let too_many = switches.strict_properties && self.custom > MOST_PROPERTIES;
        let text = match self.breaches.iter().find(|it| it.is_minded(switches)) {
            None if too_many => "Profile data is incorrect. Too many properties.",
            None => return Ok(()),
            Some(Breach::Name(_)) => {
                "Profile data is incorrect. Property name is too long or empty."
            }
            Some(Breach::Forbidden) => {
                "Profile data is incorrect. Property name has a forbidden character."
            }
            Some(Breach::Value(_)) => "Profile data is incorrect. Property value is too long.",
            Some(_) => "Profile data is incorrect. Property has too many values.",
        };
        Err(refusal(switches.uploads.limits_code, text))
    }

    fn look_at(&mut self, name: &str, value: &Scalar<'_>) {
        if value.is_absent() {
            return;
        }
        match predefined(name, value) {
            Known::Fine => {}
            Known::Wrong(refused) => {
                self.refused.get_or_insert(refused);
            }
            Known::Custom => {
                self.custom += 1;
                look_at(&mut self.breaches, name, value);
                if name.contains('#') {
                    self.breaches.push(Breach::Forbidden);
                }
                if matches!(value, Scalar::List(values) if *values > MOST_VALUES) {
                    self.breaches.push(Breach::LongList);
                }
            }
        }
    }
}

enum Known {
    Fine,
    Wrong(Refusal),
    Custom,
}

fn predefined(name: &str, value: &Scalar<'_>) -> Known {
    let text = value.text();
    let one_of = |choices: &[&str]| text.is_some_and(|text| choices.contains(&text));
    let (fine, code, words) = match name {
        "Name" => (true, 555, ""),
        "Email" => {
            (text.is_some_and(is_email), 515, "Profile data is incorrect. Email is not valid.")
        }
        "Phone" => (
            text.is_some_and(is_phone),
            516,
            "Profile data is incorrect. Phone number is not valid.",
        ),
        "Gender" => {
            (one_of(&["M", "F"]), 514, "Profile data is incorrect. Gender needs to be M/F.")
        }
        "Employed" => {
            (one_of(&["Y", "N"]), 517, "Profile data is incorrect. Employed needs to be Y/N.")
        }
        "Education" => (
            one_of(&["School", "College", "Graduate"]),
            518,
            "Profile data is incorrect. Education needs to be School/College/Graduate..",
        ),
        "Married" => {
            (one_of(&["Y", "N"]), 519, "Profile data is incorrect. Married needs to be Y/N.")
        }
        "Age" => (is_age(value), 520, "Profile data is incorrect. Age is invalid."),
        "DOB" | "MSG-email" | "MSG-push" | "MSG-sms" | "MSG-whatsapp" => (true, 555, ""),
        _ => return Known::Custom,
    };
    if fine { Known::Fine } else { Known::Wrong(refusal(code, words)) }
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    !local.is_empty()
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
        && !domain.contains('@')
        && domain.split('.').count() > 1
        && domain.split('.').all(|label| !label.is_empty())
}

/// Is true for `+` and 7 to 15 digits: the country code is mandatory, and none begins with 0.
pub(super) fn is_phone(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0')
    })
}

fn is_age(value: &Scalar<'_>) -> bool {
    let age = match value {
        Scalar::Integer(age) => Some(*age),
        Scalar::Text(text) => text.parse().ok(),
        _ => None,
    };
    age.is_some_and(|age| (1..=150).contains(&age))
}

/// Notes what breaks a limit.
fn look_at(breaches: &mut Vec<Breach>, name: &str, value: &Scalar<'_>) {
    match Length::beyond(name, LONGEST_NAME) {
        _ if name.is_empty() => breaches.push(Breach::Name(Length::Characters)),
        beyond => breaches.extend(beyond.map(Breach::Name)),
    }
    if name.contains(FORBIDDEN) {
        breaches.push(Breach::Forbidden);
    }
    if let Scalar::Text(text) = value {
        breaches.extend(Length::beyond(text, LONGEST_VALUE).map(Breach::Value));
    }
}

impl<'de> Deserialize<'de> for ProfileData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Members(Self { shape: Shape::Other, ..Self::default() }))
    }
}

impl<'de> Deserialize<'de> for EventData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Members(Self { shape: Shape::Other, ..Self::default() }))
    }
}

/// Reads an object's members into what checks them; anything else stays [`Shape::Other`].
struct Members<T>(T);

trait Sink {
    fn take<'de, A: MapAccess<'de>>(&mut self, members: &mut A) -> Result<bool, A::Error>;
    fn shaped(self, shape: Shape) -> Self;
}

impl Sink for ProfileData {
    fn take<'de, A: MapAccess<'de>>(&mut self, members: &mut A) -> Result<bool, A::Error> {
        let Some((Text(name), value)) = members.next_entry::<Text<'de>, Scalar<'de>>()? else {
            return Ok(false);
        };
        self.look_at(&name, &value);
        Ok(true)
    }

    fn shaped(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }
}

impl Sink for EventData {
    fn take<'de, A: MapAccess<'de>>(&mut self, members: &mut A) -> Result<bool, A::Error> {
        let Some((Text(name), value)) = members.next_entry::<Text<'de>, Scalar<'de>>()? else {
            return Ok(false);
        };
        self.look_at(&name, &value);
        Ok(true)
    }

    fn shaped(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }
}

impl<'de, T: Sink> Visitor<'de> for Members<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<T, A::Error> {
        while self.0.take(&mut members)? {}
        Ok(self.0.shaped(Shape::Object))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<T, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(self.0)
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(self.0.shaped(Shape::Absent))
    }

    fn visit_bool<E>(self, _: bool) -> Result<T, E> {
        Ok(self.0)
    }

    fn visit_i64<E>(self, _: i64) -> Result<T, E> {
        Ok(self.0)
    }

    fn visit_u64<E>(self, _: u64) -> Result<T, E> {
        Ok(self.0)
    }

    fn visit_f64<E>(self, _: f64) -> Result<T, E> {
        Ok(self.0)
    }

    fn visit_str<E>(self, _: &str) -> Result<T, E> {
        Ok(self.0)
    }
}
