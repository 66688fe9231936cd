//! The engines that there are.

/// What evaluates an expression.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Engine {
    /// jlens-core: the whole language, every limit kept.
    #[default]
    Jlens,
    /// jsonata-rs: a part of the language, and not every limit can be kept; see
    /// [`Mapping::compile_with`](crate::Mapping::compile_with).
    JsonataRs,
}

impl Engine {
    /// Every engine, the default first.
    pub const ALL: [Self; 2] = [Self::Jlens, Self::JsonataRs];

    /// The name that configurations use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jlens => "jlens",
            Self::JsonataRs => "jsonata-rs",
        }
    }

    /// The engine of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|engine| engine.name() == name)
    }
}
