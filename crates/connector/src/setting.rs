//! What an account of a connector is asked for: the source of its form, its schema and its checks.

/// One setting that an account of a connector has.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The key in `towpath.yaml`, in camelCase.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub about: &'static str,
    /// Where to find its value in the system; empty if there is nothing to say.
    pub help: &'static str,
    /// The values that are offered, each with words for people; what else is taken, `check` says.
    pub choices: &'static [(&'static str, &'static str)],
    /// Whether it must be kept secret.
    pub secret: bool,
    /// Whether its value says who the account is to its system. Secrets never do.
    pub identifies: bool,
    /// The value when it is left out; `None` makes it required, an empty one optional.
    pub default: Option<&'static str>,
    /// Says what is wrong with a value, already trimmed.
    pub check: fn(&str) -> Result<(), String>,
    label: &'static str,
}

impl Setting {
    /// A required setting that may be shown and identifies the account.
    pub const fn plain(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            help: "",
            choices: &[],
            secret: false,
            identifies: true,
            default: None,
            check: |_| Ok(()),
            label: "",
        }
    }

    /// A required setting that is never shown.
    pub const fn secret(name: &'static str, about: &'static str) -> Self {
        let plain = Self::plain(name, about);
        Self { secret: true, identifies: false, ..plain }
    }

    /// A setting that says how the account is used, not who it is.
    #[must_use]
    pub const fn not_identifying(mut self) -> Self {
        self.identifies = false;
        self
    }

    /// Gives the value for when it is left out.
    #[must_use]
    pub const fn or(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    /// Adds a check of the value's form.
    #[must_use]
    pub const fn checked(mut self, check: fn(&str) -> Result<(), String>) -> Self {
        self.check = check;
        self
    }

    /// Calls it by this name in forms; without it, by the words of its key.
    #[must_use]
    pub const fn labelled(mut self, label: &'static str) -> Self {
        self.label = label;
        self
    }

    /// Says where in the system its value is found.
    #[must_use]
    pub const fn found_at(mut self, help: &'static str) -> Self {
        self.help = help;
        self
    }

    /// Offers values to choose from, each with words for people.
    #[must_use]
    pub const fn choices(mut self, choices: &'static [(&'static str, &'static str)]) -> Self {
        self.choices = choices;
        self
    }

    /// What forms call it: `Client id` of `clientId`, unless the connector says otherwise.
    pub fn label(&self) -> String {
        if !self.label.is_empty() {
            return self.label.to_owned();
        }
        let mut label = String::new();
        for letter in self.name.chars() {
            if label.is_empty() {
                label.extend(letter.to_uppercase());
            } else if letter.is_uppercase() {
                label.push(' ');
                label.extend(letter.to_lowercase());
            } else {
                label.push(letter);
            }
        }
        label
    }

    /// What it is and where its value is found, in a line.
    pub fn explained(&self) -> String {
        let Self { about, help, .. } = self;
        if help.is_empty() { (*about).to_owned() } else { format!("{about} {help}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_the_words_of_the_key_unless_it_is_given() {
        assert_eq!(Setting::plain("clientId", "").label(), "Client id");
        assert_eq!(Setting::plain("clientId", "").labelled("Client ID").label(), "Client ID");
        let region = Setting::plain("region", "The region.").found_at("See the address.");
        assert_eq!(region.explained(), "The region. See the address.");
    }
}
