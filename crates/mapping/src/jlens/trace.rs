//! Follows paths and results through a syntax tree, without running it.

use std::collections::{HashMap, HashSet};

use jlens_core::ast::{LambdaDef, Stage};
use jlens_core::{Node, NodeKind, Span};

use crate::analysis::{Analysis, Call, Key, Object, Origin, Read, Shape};

/// What nests deeper is not looked at: following it takes stack.
const DEPTH: usize = 200;
/// What is larger is not remembered of a variable: uses of uses would grow without an end.
const SIZE: usize = 1000;
/// Functions that give members of their first argument as they are.
const MEMBERS: [&str; 6] = ["distinct", "filter", "reverse", "shuffle", "single", "sort"];

/// Functions that call their second argument with members of their first, and which of its
/// parameters are members.
const CALLBACKS: [(&str, usize, usize); 5] =
    [("filter", 0, 1), ("map", 0, 1), ("reduce", 1, 2), ("single", 0, 1), ("sort", 0, 2)];

/// What the expression with this syntax tree reads and gives.
pub(super) fn analyse(root: &Node) -> Analysis {
    let mut set = HashMap::new();
    let mut bound = HashSet::new();
    if !names(root, DEPTH, &mut set, &mut bound) {
        return Analysis::default();
    }
    let mut tracer = Tracer { set, bound, known: vec![], reads: vec![], unknown: vec![] };
    let input = Place { from: Origin::Input, path: vec![] };
    let result = tracer.value(root, Some(&input)).shape;
    Analysis { reads: tracer.reads, result, unknown: tracer.unknown }
}

/// Counts how often each variable is set; a parameter or a binding of a path, which may have a
/// value for every item, counts twice. `bound` are those that are set otherwise than as a
/// parameter. False if the tree is too deep.
fn names<'a>(
    node: &'a Node,
    depth: usize,
    set: &mut HashMap<&'a str, usize>,
    bound: &mut HashSet<&'a str>,
) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    if let NodeKind::Lambda(lambda) = &node.kind {
        lambda.params.iter().for_each(|name| *set.entry(name).or_default() += 2);
    }
    let mut add = |name: &'a str, times| {
        *set.entry(name).or_default() += times;
        bound.insert(name);
    };
    if let NodeKind::Bind { lhs, .. } = &node.kind
        && let NodeKind::Variable { name } = &lhs.kind
    {
        add(name, 1);
    }
    let of_items = node.attrs.focus.iter().chain(&node.attrs.index);
    of_items.for_each(|name| add(name, 2));
    for stage in node.attrs.stages.iter().chain(&node.attrs.predicate) {
        if let Stage::Index { var, .. } = stage {
            add(var, 2);
        }
    }
    let mut fits = true;
    node.for_each_child(|child| fits = fits && names(child, depth, set, bound));
    fits
}

/// A way to a value.
#[derive(Clone, Debug)]
struct Place {
    from: Origin,
    path: Vec<String>,
}

/// What is known of a value.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Where it comes from, unchanged.
    place: Option<Place>,
    shape: Shape,
}

impl Known {
    const fn at(place: Option<Place>) -> Self {
        Self { place, shape: Shape::Unknown }
    }

    const fn of(shape: Shape) -> Self {
        Self { place: None, shape }
    }
}

struct Tracer<'a> {
    /// How often each variable of the expression's own is set.
    set: HashMap<&'a str, usize>,
    /// Those of them that are not parameters alone.
    bound: HashSet<&'a str>,
    /// The variables that are set here, innermost block last.
    known: Vec<(&'a str, Known)>,
    reads: Vec<Read>,
    unknown: Vec<Call>,
}

impl<'a> Tracer<'a> {
    /// What a node gives where the context comes from `context`.
    fn value(&mut self, node: &'a Node, context: Option<&Place>) -> Known {
        let mut known = self.unfiltered(node, context);
        for stage in node.attrs.stages.iter().chain(&node.attrs.predicate) {
            if let Stage::Filter { expr, .. } = stage {
                self.value(expr, known.place.as_ref());
                known.shape = Shape::Unknown;
            }
        }
        if let Some(group) = &node.attrs.group {
            for (key, value) in &group.pairs {
                self.value(key, known.place.as_ref());
                self.value(value, known.place.as_ref());
            }
            return Known::default();
        }
        known
    }

    fn unfiltered(&mut self, node: &'a Node, context: Option<&Place>) -> Known {
        match &node.kind {
            NodeKind::Path { steps, .. } => self.path(steps, context),
            NodeKind::Name { name } => {
                let Some(context) = context else { return Known::default() };
                let mut place = context.clone();
                place.path.push(name.clone());
                let (from, path) = (place.from.clone(), place.path.clone());
                self.reads.push(Read { from, path, span: node.span.start..node.pos });
                Known::at(Some(place))
            }
            NodeKind::Variable { name } => self.variable(name, context),
            NodeKind::Object { pairs } => self.object(pairs, node.span, context),
            NodeKind::Array { items } => {
                let shapes = items.iter().map(|item| self.value(item, context).shape).collect();
                Known::of(Shape::Any(shapes))
            }
            NodeKind::Condition { condition, then, otherwise } => {
                self.value(condition, context);
                let then = self.value(then, context);
                let Some(otherwise) = otherwise else { return then };
                let otherwise = self.value(otherwise, context);
                Known::of(Shape::Any(vec![then.shape, otherwise.shape]))
            }
            NodeKind::Fallback { lhs, rhs, .. } => {
                let shapes = [lhs, rhs].map(|side| self.value(side, context).shape);
                Known::of(Shape::Any(shapes.into()))
            }
            NodeKind::Block { exprs, .. } => {
                let outside = self.known.len();
                let mut last = Known::default();
                for expr in exprs {
                    last = self.value(expr, context);
                }
                self.known.truncate(outside);
                last
            }
            NodeKind::Bind { lhs, rhs } => {
                let known = self.value(rhs, context);
                if let NodeKind::Variable { name } = &lhs.kind
                    && self.set.get(name.as_str()) == Some(&1)
                    && known.shape.size() <= SIZE
                {
                    self.known.push((name, known.clone()));
                }
                known
            }
            NodeKind::Function { procedure, args } => self.call(procedure, args, context),
            // What a function is called on is only known where it is called, and so is what it is
            // applied to.
            NodeKind::Lambda(lambda) => self.lambda(lambda, |_| None),
            NodeKind::Transform(_) => {
                node.for_each_child(|child| drop(self.value(child, None)));
                Known::default()
            }
            NodeKind::Sort { terms } => {
                for term in terms {
                    self.value(&term.expr, context);
                }
                Known::at(context.cloned())
            }
            NodeKind::Binary { lhs, rhs, .. } => {
                self.value(lhs, context);
                self.value(rhs, context);
                Known::default()
            }
            NodeKind::Apply { lhs, rhs } => {
                self.value(lhs, context);
                self.value(rhs, context);
                self.called(rhs);
                Known::default()
            }
            NodeKind::Negate { expr } => {
                self.value(expr, context);
                Known::default()
            }
            NodeKind::Partial { procedure, args } => {
                self.value(procedure, context);
                self.called(procedure);
                for arg in args {
                    self.value(arg, context);
                }
                Known::default()
            }
            _ => Known::default(),
        }
    }

    fn path(&mut self, steps: &'a [Node], context: Option<&Place>) -> Known {
        let mut known = Known::at(context.cloned());
        for step in steps {
            let context = known.place.take();
            known = self.value(step, context.as_ref());
            if step.attrs.focus.is_some() {
                // The next step goes on from where this one began.
                known = Known::default();
            }
        }
        known
    }

    fn variable(&self, name: &str, context: Option<&Place>) -> Known {
        match name {
            "" => Known::at(context.cloned()),
            "$" => Known::at(Some(Place { from: Origin::Input, path: vec![] })),
            _ => {
                let known = self.known.iter().rev().find(|(known, _)| *known == name);
                known.map_or_else(
                    || {
                        let from = Origin::Variable(name.to_owned());
                        let outer = !self.set.contains_key(name);
                        Known::at(outer.then_some(Place { from, path: vec![] }))
                    },
                    |(_, known)| known.clone(),
                )
            }
        }
    }

    fn object(&mut self, pairs: &'a [(Node, Node)], span: Span, context: Option<&Place>) -> Known {
        let mut object = Object { span: span.start..span.end, ..Object::default() };
        for (key, value) in pairs {
            let value = self.value(value, context).shape;
            match &key.kind {
                NodeKind::String { value: name } => {
                    let span = key.span.start..key.span.end;
                    object.keys.push(Key { name: name.clone(), span, value });
                }
                _ => {
                    self.value(key, context);
                    object.open = true;
                }
            }
        }
        Known::of(Shape::Object(object))
    }

    /// Notes a function that there is not.
    fn called(&mut self, procedure: &Node) {
        let NodeKind::Variable { name } = &procedure.kind else { return };
        let built_in = || super::functions().contains(&name.as_str());
        // The context may be a function.
        if !name.is_empty() && name != "$" && !self.set.contains_key(name.as_str()) && !built_in() {
            let span = procedure.span.start..procedure.span.end;
            self.unknown.push(Call { name: name.clone(), span });
        }
    }

    /// Looks into a function whose parameters come from `places`, by their number.
    fn lambda(&mut self, lambda: &'a LambdaDef, places: impl Fn(usize) -> Option<Place>) -> Known {
        let outside = self.known.len();
        for (at, name) in lambda.params.iter().enumerate() {
            // It may be set anew anywhere in the body.
            let place = places(at).filter(|_| !self.bound.contains(name.as_str()));
            self.known.push((name, Known::at(place)));
        }
        self.value(&lambda.body, None);
        self.known.truncate(outside);
        Known::default()
    }

    fn call(&mut self, procedure: &'a Node, args: &'a [Node], context: Option<&Place>) -> Known {
        self.value(procedure, context);
        self.called(procedure);
        let name = match &procedure.kind {
            NodeKind::Variable { name } if !self.set.contains_key(name.as_str()) => name.as_str(),
            _ => "",
        };
        let callback = CALLBACKS.iter().find(|(known, ..)| *known == name);
        let mut known: Vec<Known> = vec![];
        for arg in args {
            let of = match (callback, &arg.kind, &known[..]) {
                (Some((_, from, to)), NodeKind::Lambda(lambda), [members]) => {
                    let place = members.place.clone();
                    let is_member = |at: usize| (*from..*to).contains(&at);
                    self.lambda(lambda, |at| place.clone().filter(|_| is_member(at)))
                }
                _ => self.value(arg, context),
            };
            known.push(of);
        }
        let mut args = known;
        if args.is_empty() {
            return Known::default();
        }
        let first = args.swap_remove(0);
        match name {
            "merge" => {
                let mut merged = Object::default();
                merge(first.shape, &mut merged);
                merged.span = procedure.span.start..procedure.span.end;
                Known::of(Shape::Object(merged))
            }
            name if MEMBERS.contains(&name) => Known::at(first.place),
            _ => Known::default(),
        }
    }
}

/// Puts what is known of merged objects into one.
fn merge(shape: Shape, merged: &mut Object) {
    match shape {
        Shape::Unknown => merged.open = true,
        Shape::Object(object) => {
            merged.open |= object.open;
            merged.keys.extend(object.keys);
        }
        Shape::Any(shapes) => shapes.into_iter().for_each(|shape| merge(shape, merged)),
    }
}
