//! What a credential opens.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a credential opens. Each is a set of routes of its own, but that each of them opens what
/// `read` does, and `admin` opens everything.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    /// Look at everything but secrets and tokens.
    Read,
    /// Run, pause and change flows, their state and dead letters.
    Operate,
    /// Connect accounts: add, test, log in, remove.
    Connect,
    /// Everything, tokens and the vault's secrets included.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Read, Self::Operate, Self::Connect, Self::Admin];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Connect => "connect",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scope| scope.name() == text);
        found.ok_or_else(|| format!("`{text}` is none of read, operate, connect, admin"))
    }
}

/// A set of scopes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Every scope.
    pub fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    /// Whether a route that needs `scope` is open.
    pub fn open(&self, scope: Scope) -> bool {
        match scope {
            Scope::Read => !self.0.is_empty(),
            scope => self.0.contains(&scope) || self.0.contains(&Scope::Admin),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The scopes, the weakest first.
    pub fn iter(&self) -> impl Iterator<Item = Scope> {
        self.0.iter().copied()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().collect())
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Scope::name).collect();
        f.write_str(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scope_opens_reading_and_only_admin_opens_all() {
        for (have, opens) in [
            (vec![], vec![]),
            (vec![Scope::Read], vec![Scope::Read]),
            (vec![Scope::Operate], vec![Scope::Read, Scope::Operate]),
            (vec![Scope::Connect], vec![Scope::Read, Scope::Connect]),
            (vec![Scope::Admin], Scope::ALL.to_vec()),
        ] {
            let have: Scopes = have.into_iter().collect();
            let open: Vec<_> = Scope::ALL.into_iter().filter(|it| have.open(*it)).collect();
            assert_eq!(open, opens, "{have}");
        }
    }
}
