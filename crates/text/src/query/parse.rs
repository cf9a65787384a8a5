//! From what was typed to a tree.
//!
//! ```text
//! group = chain, { [ "OR" ], chain }
//! chain = item, { "AND", item }
//! item  = [ "+" | "-" | "NOT" ], ( word | phrase | prefix | "(", group, ")" )
//! ```

use super::{
    Clause, DEPTH_MAX, Leaf, Node, PREFIXES_MAX, Part, Query, QueryField, TERMS_MAX, WEIGHT_MAX,
};
use crate::analyze::words;

pub(super) fn parse(text: &str, fields: &[QueryField]) -> Query {
    let fields = fields.iter().filter(|field| field.weight > 0.0);
    let limited = |field: &QueryField| QueryField {
        weight: field.weight.min(WEIGHT_MAX),
        ..*field
    };
    let fields: Vec<QueryField> = fields.map(limited).collect();
    let mut leaves = Leaves::new(&fields);
    let root = tree(text, &mut leaves).unwrap_or_else(|| {
        leaves = Leaves::new(&fields);
        all_words(text, &mut leaves)
    });
    let mut leaves = leaves.found;
    if let Some(root) = &root {
        mark_denied(root, false, &mut leaves);
    }
    Query {
        fields,
        leaves,
        root,
    }
}

/// Whether what an item names must be there, may be there, or must not.
#[derive(Clone, Copy, PartialEq)]
enum Sign {
    Must,
    Should,
    Not,
}

/// `None` if the text is not well-formed; else the tree, which may be nothing.
fn tree(text: &str, leaves: &mut Leaves<'_>) -> Option<Option<Node>> {
    let symbols = symbols(text)?;
    let mut parser = Parser {
        symbols: &symbols,
        leaves,
    };
    let root = match symbols.is_empty() {
        true => None,
        false => parser.group(0)?,
    };
    parser.symbols.is_empty().then_some(root)
}

/// The words of a text that has no other structure.
fn all_words(text: &str, leaves: &mut Leaves<'_>) -> Option<Node> {
    let mut clause = Clause::default();
    let pieces = text.split(|it: char| it.is_whitespace() || "\"()".contains(it));
    clause.should = pieces.filter_map(|piece| leaves.phrase(piece)).collect();
    clause.simplified()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Symbol<'a> {
    Open,
    Close,
    Plus,
    Minus,
    And,
    Or,
    Not,
    Quoted(&'a str),
    Bare(&'a str),
}

/// `None` if a quote has no end.
fn symbols(text: &str) -> Option<Vec<Symbol<'_>>> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let behind = &rest[first.len_utf8()..];
        let is_sign = behind
            .chars()
            .next()
            .is_some_and(|next| !next.is_whitespace());
        let (symbol, behind) = match first {
            '(' => (Some(Symbol::Open), behind),
            ')' => (Some(Symbol::Close), behind),
            '"' => {
                let (quoted, behind) = behind.split_once('"')?;
                (Some(Symbol::Quoted(quoted)), behind)
            }
            // A sign by itself says nothing.
            '+' => (is_sign.then_some(Symbol::Plus), behind),
            '-' => (is_sign.then_some(Symbol::Minus), behind),
            _ => {
                let ends = |it: char| it.is_whitespace() || "\"()".contains(it);
                let (word, behind) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
                let symbol = match word {
                    "AND" => Symbol::And,
                    "OR" => Symbol::Or,
                    "NOT" => Symbol::Not,
                    word => Symbol::Bare(word),
                };
                (Some(symbol), behind)
            }
        };
        found.extend(symbol);
        rest = behind.trim_start();
    }
    Some(found)
}

struct Parser<'a, 'b, 'c> {
    symbols: &'a [Symbol<'a>],
    leaves: &'b mut Leaves<'c>,
}

impl Parser<'_, '_, '_> {
    /// Up to the end or to a parenthesis that closes; at least one item.
    fn group(&mut self, depth: usize) -> Option<Option<Node>> {
        let mut clause = Clause::default();
        loop {
            let (sign, node) = self.chain(depth)?;
            clause.add(sign, node);
            match self.symbols.first() {
                None | Some(Symbol::Close) => return Some(clause.simplified()),
                Some(Symbol::Or) => self.symbols = &self.symbols[1..],
                Some(_) => {}
            }
        }
    }

    fn chain(&mut self, depth: usize) -> Option<(Sign, Option<Node>)> {
        let (sign, node) = self.item(depth)?;
        if self.symbols.first() != Some(&Symbol::And) {
            return Some((sign, node));
        }
        let mut clause = Clause::default();
        let all = |sign| if sign == Sign::Not { sign } else { Sign::Must };
        clause.add(all(sign), node);
        while let [Symbol::And, rest @ ..] = self.symbols {
            self.symbols = rest;
            let (sign, node) = self.item(depth)?;
            clause.add(all(sign), node);
        }
        Some((Sign::Should, clause.simplified()))
    }

    fn item(&mut self, depth: usize) -> Option<(Sign, Option<Node>)> {
        let (sign, rest) = match self.symbols {
            [Symbol::Plus, rest @ ..] => (Sign::Must, rest),
            [Symbol::Minus | Symbol::Not, rest @ ..] => (Sign::Not, rest),
            symbols => (Sign::Should, symbols),
        };
        let (first, rest) = rest.split_first()?;
        self.symbols = rest;
        let node = match first {
            Symbol::Bare(text) => match text.strip_suffix('*') {
                Some(start) => self.leaves.prefix(start),
                None => self.leaves.phrase(text),
            },
            Symbol::Quoted(text) => self.leaves.phrase(text),
            Symbol::Open if depth < DEPTH_MAX => {
                let node = self.group(depth + 1)?;
                let [Symbol::Close, rest @ ..] = self.symbols else {
                    return None;
                };
                self.symbols = rest;
                node
            }
            _ => return None,
        };
        Some((sign, node))
    }
}

impl Clause {
    fn add(&mut self, sign: Sign, node: Option<Node>) {
        let nodes = match sign {
            Sign::Must => &mut self.must,
            Sign::Should => &mut self.should,
            Sign::Not => &mut self.not,
        };
        match node {
            // Any of any is any of all.
            Some(Node::Clause(inner))
                if sign == Sign::Should && inner.must.is_empty() && inner.not.is_empty() =>
            {
                nodes.extend(inner.should);
            }
            node => nodes.extend(node),
        }
    }

    fn simplified(mut self) -> Option<Node> {
        match (self.must.len(), self.should.len(), self.not.len()) {
            (0, 0, 0) => None,
            (1, 0, 0) => self.must.pop(),
            (0, 1, 0) => self.should.pop(),
            _ => Some(Node::Clause(self)),
        }
    }
}

/// What is looked for, as it is found.
struct Leaves<'a> {
    fields: &'a [QueryField],
    found: Vec<Leaf>,
    terms: usize,
    prefixes: usize,
}

impl<'a> Leaves<'a> {
    fn new(fields: &'a [QueryField]) -> Self {
        Self {
            fields,
            found: Vec::new(),
            terms: 0,
            prefixes: 0,
        }
    }

    /// The words of `text` next to each other; a single one is a word.
    fn phrase(&mut self, text: &str) -> Option<Node> {
        let part = |field: &QueryField| {
            let tokens = field.analyzer.tokens(text).take(TERMS_MAX + 1);
            let mut terms: Vec<(u32, Box<str>)> =
                tokens.map(|it| (it.position, it.term.into())).collect();
            let first = terms.first()?.0;
            for (offset, _) in &mut terms {
                *offset -= first;
            }
            Some(match terms.len() {
                1 => Part::Word(terms.pop()?.1),
                _ => Part::Phrase(terms),
            })
        };
        let parts = self.fields.iter().map(part).collect();
        self.add(parts)
    }

    fn prefix(&mut self, text: &str) -> Option<Node> {
        let mut found = words(text);
        let (Some(word), None) = (found.next(), found.next()) else {
            return self.phrase(text);
        };
        if self.prefixes == PREFIXES_MAX {
            return self.phrase(text);
        }
        self.prefixes += 1;
        let part = Part::Prefix(word.term.into());
        self.add(vec![Some(part); self.fields.len()])
    }

    fn add(&mut self, parts: Vec<Option<Part>>) -> Option<Node> {
        let terms = parts.iter().flatten().map(Part::terms).max()?;
        if self.terms + terms > TERMS_MAX {
            return None;
        }
        self.terms += terms;
        let is_denied = false;
        self.found.push(Leaf { parts, is_denied });
        Some(Node::Leaf(self.found.len() - 1))
    }
}

fn mark_denied(node: &Node, is_denied: bool, leaves: &mut [Leaf]) {
    match node {
        Node::Leaf(leaf) => leaves[*leaf].is_denied = is_denied,
        Node::Clause(Clause { must, should, not }) => {
            for node in must.iter().chain(should) {
                mark_denied(node, is_denied, leaves);
            }
            for node in not {
                mark_denied(node, true, leaves);
            }
        }
    }
}
