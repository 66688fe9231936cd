//! What was settled before and counts as absent, since somebody wants it sent again.

use connector::Timestamp;
use serde::{Deserialize, Serialize};

use crate::seen::{Entry, UNVERSIONED};

/// More rules than this are made fewer, by ones that forget more.
const RULES_AT_MOST: usize = 20;

/// A rule that makes seen entries count as absent. The entries themselves stay, so that taking the
/// rule away brings back what was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Forgotten {
    /// What the commits up to this one settled still counts; 0 is before the first.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub after: u64,
    /// What the commits behind this one settle counts.
    pub up_to: u64,
    /// What is older than this still counts; absent forgets whatever its version is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<Timestamp>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // Serde hands fields over by reference.
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Forgotten {
    /// Whether an entry counts as absent. One without a version may be of any time.
    pub(crate) fn is(&self, entry: &Entry) -> bool {
        let commits = entry.settled_by() > self.after && entry.settled_by() <= self.up_to;
        let is_old =
            |since: Timestamp| entry.version != UNVERSIONED && entry.version < since.millis();
        commits && !self.since.is_some_and(is_old)
    }

    /// Whether this rule forgets everything that another one does.
    fn covers(&self, other: &Self) -> bool {
        let since = self.since.is_none_or(|since| other.since.is_some_and(|it| since <= it));
        self.after <= other.after && self.up_to >= other.up_to && since
    }

    /// Adds a rule to others, and drops those that it covers.
    pub(crate) fn add(self, rules: &mut Vec<Self>) {
        rules.retain(|rule| !self.covers(rule));
        if rules.len() >= RULES_AT_MOST {
            // What is forgotten twice is sent once more; what is not forgotten would not be sent.
            let widest = rules.drain(..).fold(self, |a, b| Self {
                after: a.after.min(b.after),
                up_to: a.up_to.max(b.up_to),
                since: a.since.zip(b.since).map(|(a, b)| a.min(b)),
            });
            rules.push(widest);
            return;
        }
        rules.push(self);
    }
}

/// Whether an entry counts as absent by one of the rules.
pub(crate) fn is_forgotten(rules: &[Forgotten], entry: &Entry) -> bool {
    rules.iter().any(|rule| rule.is(entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(after: u64, up_to: u64, since: Option<i64>) -> Forgotten {
        Forgotten { after, up_to, since: since.map(Timestamp::from_millis) }
    }

    #[test]
    fn a_rule_forgets_by_commit_and_by_version() {
        let entry = |sequence, version| Entry { content: [0; 8], version, sequence };
        for (rule, sequence, version, forgotten) in [
            (rule(0, 5, None), 5, 10, true),
            (rule(0, 5, None), 6, 10, false),
            (rule(3, 5, None), 3, 10, false),
            (rule(0, 5, Some(10)), 5, 10, true),
            (rule(0, 5, Some(10)), 5, 9, false),
            (rule(0, 5, Some(10)), 5, UNVERSIONED, true),
        ] {
            let entry = entry(sequence, version);
            assert_eq!(is_forgotten(&[rule], &entry), forgotten, "{rule:?} {entry:?}");
        }
    }

    #[test]
    fn rules_that_another_covers_go_and_too_many_become_one_that_covers_all() {
        let mut rules = vec![];
        rule(0, 5, Some(10)).add(&mut rules);
        rule(0, 9, Some(20)).add(&mut rules);
        assert_eq!(rules, [rule(0, 5, Some(10)), rule(0, 9, Some(20))]);
        rule(0, 9, Some(10)).add(&mut rules);
        assert_eq!(rules, [rule(0, 9, Some(10))]);
        for n in 0..100_i64 {
            let next = rule(0, 10 + n.unsigned_abs(), Some(20 + n));
            next.add(&mut rules);
            assert!(rules.len() <= RULES_AT_MOST && rules.iter().any(|it| it.covers(&next)));
        }
        assert!(rules.iter().any(|it| it.covers(&rule(0, 9, Some(10)))));
        rule(0, 200, None).add(&mut rules);
        assert_eq!(rules, [rule(0, 200, None)]);
    }
}
