//! Made-up receivers: repeatable, varied enough to be awkward, and obviously nobody's.

use serde::{Serialize, Serializer};

use super::receiver::{Draft, Entry, GLOBAL_ATTRIBUTES, Stamps};
use crate::options::GroupSeed;
use crate::random::Random;

const DAYS: i64 = 30;
const DAY: i64 = 86_400;
/// The first receiver's number.
pub(super) const FIRST_ID: u64 = 279_001;

const FIRST_NAMES: [&str; 24] = [
    "Ada",
    "Jürgen",
    "Grace",
    "Alan",
    "Zoë",
    "Søren",
    "Maria",
    "Max",
    "Anna",
    "Björn",
    "Chloé",
    "Daniel",
    "Elif",
    "Friedrich",
    "Gülşen",
    "Hannah",
    "Ida",
    "Jakub",
    "Käthe",
    "Linus",
    "Mia",
    "Noah",
    "Olga",
    "Paul",
];
const LAST_NAMES: [&str; 24] = [
    "Lovelace",
    "Müller",
    "Hopper",
    "Turing",
    "Weiß",
    "Kierkegaard",
    "Schmidt",
    "Mustermann",
    "O'Neil",
    "Ångström",
    "Dubois",
    "van der Berg",
    "Yılmaz",
    "Schäfer",
    "Øster",
    "Arendt",
    "Fischer",
    "Nowak",
    "Paulus",
    "Groß",
    "König",
    "Weber",
    "Petrova",
    "Klein",
];
const CITIES: [(&str, &str, &str); 8] = [
    ("26122", "Oldenburg", "DE"),
    ("10115", "Berlin", "DE"),
    ("80331", "München", "DE"),
    ("50667", "Köln", "DE"),
    ("1010", "Wien", "AT"),
    ("8001", "Zürich", "CH"),
    ("75001", "Paris", "FR"),
    ("EC1A 1BB", "London", "GB"),
];
const STREETS: [&str; 6] =
    ["Hauptstraße", "Gartenweg", "Am Markt", "Bahnhofstraße", "Lindenallee", "Rue de la Paix"];
const COMPANIES: [&str; 5] =
    ["Example GmbH", "Muster & Söhne", "Acme Ltd", "Beispiel AG", "Sample \"Best\" Inc."];
const TAGS: [&str; 6] = ["vip", "shop.buyer", "blog", "trade_fair", "b2b", "webinar-2026"];
const SOURCES: [&str; 4] = ["import", "API", "form", "shop"];

/// Name-value pairs that are written as a JSON object without building one.
pub(super) struct Pairs<'a>(&'a [(&'static str, &'a str)]);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

/// Makes the `index`-th receiver: of 100 about 3 never confirmed, 2 unsubscribed, 1 bounced; all
/// dates lie in the 30 days before `now`.
pub(super) fn receiver(seed: u64, index: u64, now: i64, groups: &[GroupSeed]) -> Entry {
    let mut random = Random::new(seed, index);
    let stamps = stamps(&mut random, now);
    let first = random.pick(&FIRST_NAMES);
    let last = random.pick(&LAST_NAMES);
    let domain = if random.chance(70) { "example.com" } else { "example.org" };
    let email = format!("{}.{}.{index}@{domain}", ascii(first), ascii(last));
    let (zip, city, country) =
        CITIES.get(choice(&mut random, CITIES.len())).copied().unwrap_or_default();
    let street = format!("{} {}", random.pick(&STREETS), 1 + random.below(180));
    let birthday = format!(
        "{}-{:02}-{:02}",
        1940 + random.below(66),
        1 + random.below(12),
        1 + random.below(28)
    );
    // Not every number is in international form: the receiving side has to cope.
    let phone = match random.below(10) {
        0..=5 => format!("+49151{:08}", random.below(100_000_000)),
        6 => format!("0441 {}", 10_000 + random.below(90_000)),
        _ => String::new(),
    };
    let customer = format!("C-{:07}", index + 1);
    let company = if random.chance(25) { random.pick(&COMPANIES) } else { "" };
    let salutation = random.pick(&["Frau", "Herr", ""]);
    let title = if random.chance(4) { "Dr." } else { "" };
    let language = random.pick(&["de", "en", "fr"]);
    let newsletter = if stamps.is_active() { "yes" } else { "no" };
    let values = [
        salutation, title, first, last, &street, zip, city, company, country, &birthday, &phone,
        language, newsletter,
    ];
    let mut global = [("", ""); GLOBAL_ATTRIBUTES.len()];
    for ((slot, name), value) in global.iter_mut().zip(GLOBAL_ATTRIBUTES).zip(values) {
        *slot = (name, value);
    }
    let local = [("firstname", first), ("name", last), ("customer_number", customer.as_str())];
    let mut tags: Vec<Box<str>> = Vec::new();
    if random.chance(40) {
        tags.push(random.pick(&TAGS).into());
    }
    Entry::new(Draft {
        id: FIRST_ID + index,
        email: &email,
        stamps,
        source: random.pick(&SOURCES),
        stars: u32::try_from(random.below(6)).unwrap_or(0),
        opens: 0,
        attributes: Pairs(&local),
        global_attributes: Pairs(&global),
        tags: tags.into_boxed_slice(),
        groups: groups
            .iter()
            .filter(|group| group.every > 0 && index.is_multiple_of(group.every as u64))
            .map(|group| group.id)
            .collect(),
    })
}

/// Gives a last name that differs from `current`.
pub(super) fn other_last_name(random: &mut Random, current: &str) -> &'static str {
    let start = choice(random, LAST_NAMES.len());
    let mut names = LAST_NAMES.iter().cycle().skip(start).copied();
    names.find(|name| *name != current).unwrap_or("Neumann")
}

fn stamps(random: &mut Random, now: i64) -> Stamps {
    let between = |random: &mut Random, from: i64, to: i64| {
        let span = u64::try_from(to - from).unwrap_or(0);
        from + i64::try_from(random.below(span)).unwrap_or(0)
    };
    let registered = between(random, now - DAYS * DAY, now);
    let mut stamps = Stamps { registered, ..Stamps::default() };
    if !random.chance(3) {
        stamps.activated = between(random, registered, now.min(registered + 3_600));
    }
    match random.below(100) {
        0 | 1 => stamps.deactivated = between(random, registered, now),
        2 => stamps.bounced = between(random, registered, now),
        _ => {}
    }
    stamps
}

fn choice(random: &mut Random, length: usize) -> usize {
    usize::try_from(random.below(length as u64)).unwrap_or(0)
}

/// Writes a name as it may stand in an address: lower case, without marks.
fn ascii(name: &str) -> String {
    name.chars()
        .filter_map(|letter| match letter {
            'ä' | 'Ä' | 'Å' | 'å' => Some('a'),
            'ö' | 'Ö' | 'ø' | 'Ø' => Some('o'),
            'ü' | 'Ü' => Some('u'),
            'ß' | 'ş' => Some('s'),
            'ë' | 'é' => Some('e'),
            'ı' => Some('i'),
            letter => letter.is_ascii_alphanumeric().then(|| letter.to_ascii_lowercase()),
        })
        .collect()
}
