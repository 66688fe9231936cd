//! What an expression reads and gives, as far as that is sure without running it.

use std::ops::Range;

/// What an expression reads and gives; the same whichever engine evaluates it.
///
/// What cannot be told for sure (results of functions, wildcards, parents, variables that are set
/// in several places, parameters but those that `$map` and the like give members to) is left out of
/// `reads` and is [`Shape::Unknown`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Analysis {
    /// Every field that the expression names, each with the whole way to it.
    pub reads: Vec<Read>,
    /// What the expression gives.
    pub result: Shape,
    /// Every call of a function that there is not: neither JSONata's nor the expression's own.
    pub unknown: Vec<Call>,
}

/// One place in an expression that calls a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The function, without the dollar sign.
    pub name: String,
    /// The bytes of the source with its name.
    pub span: Range<usize>,
}

/// One place in an expression that reads a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Where the way begins.
    pub from: Origin,
    /// The names on the way, the one that is read last. Lists on the way are seen through, as
    /// JSONata does.
    pub path: Vec<String>,
    /// The bytes of the source with the last name.
    pub span: Range<usize>,
}

/// Where the way to a field begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// What the expression is evaluated on.
    Input,
    /// A variable that the expression does not set itself, without the dollar sign.
    Variable(String),
}

/// What an expression gives, if it gives anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// Nothing is known.
    #[default]
    Unknown,
    /// An object that is written in the expression.
    Object(Object),
    /// One of these, or several.
    Any(Vec<Self>),
}

/// An object that is written in an expression.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// The keys that are written, each of which may be left out when it has no value.
    pub keys: Vec<Key>,
    /// Whether there may be other keys.
    pub open: bool,
    /// The bytes of the source.
    pub span: Range<usize>,
}

/// A key of an object that is written in an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub name: String,
    /// The bytes of the source, quotes included.
    pub span: Range<usize>,
    /// Its value.
    pub value: Shape,
}

impl Shape {
    /// How many objects and keys there are in it.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Unknown => 1,
            Self::Object(object) => {
                object.keys.iter().map(|key| key.value.size()).sum::<usize>() + 1
            }
            Self::Any(shapes) => shapes.iter().map(Self::size).sum::<usize>() + 1,
        }
    }
}
