//! The bounds of an expression: its shape when it is set, and its cost before each evaluation.
//!
//! The interpreter counts no steps and cannot be stopped. So an expression is walked once, when it is set. The walk
//! refuses every shape whose work cannot be bounded by the size of a message, and notes a term for each node that is
//! left. The sum of the terms for the size of one message is an upper bound of the steps that its evaluation takes.
//!
//! ```text
//! a node outside of loops, or one that names a variable of the message    longestᵈ · (1 + weight)
//! a node in a loop that names loop variables only                          longestᵈ + longestᵈ⁻¹ · weight
//! d: loops around it · longest: elements of the longest list or map · weight: what the operation reads or copies
//! ```
//! The second line holds because the elements of a list are together no larger than the message.
//!
//! Pure.

use super::convert::Size;
use super::{FilterFault, VARIABLES};
use cel::common::ast::operators as op;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, ListExpr};

/// Nodes of an expression, with those that a loop is written out to.
const NODES_MAX: usize = 512;

/// Levels of an expression. Evaluation uses the stack for each.
const LEVELS_MAX: usize = 48;

/// Loops inside one another.
const LOOPS_MAX: u8 = 2;

/// Calculations: each may make a text longer by the longest one of the message.
const CALCULATIONS_MAX: usize = 16;

/// The name under which the parser writes the result so far of a loop.
const RESULT: &str = "@result";

/// Bytes of text that one step reads.
const BYTES_PER_STEP: u64 = 256;

/// The cost of an expression as a function of a message's size.
#[derive(Debug, Default)]
pub(super) struct Cost {
    terms: Vec<Term>,
    longest_literal: u64,
}

#[derive(Clone, Copy, Debug)]
struct Term {
    loops: u8,
    names: Names,
    weight: Weight,
}

/// The variables that an expression depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Names {
    None,
    /// Those of loops only.
    Loop,
    /// One of the message at least.
    Message,
}

/// The part of a message that an operation may read or copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    One,
    /// A text.
    Text,
    /// Lists and maps with all in them.
    Whole,
}

impl Cost {
    /// Walks an expression.
    ///
    /// # Errors
    /// When it has a shape that cannot be bounded, or names a variable or a function that there is not.
    pub(super) fn of(expression: &IdedExpr) -> Result<Cost, FilterFault> {
        let mut walk = Walk { cost: Cost::default(), variables: Vec::new(), nodes: 0, level: 0, calculations: 0 };
        walk.visit(expression)?;
        Ok(walk.cost)
    }

    /// Steps that an evaluation over a message of this size takes at most.
    pub(super) fn steps(&self, size: Size) -> u64 {
        let longest = size.longest.max(self.longest_literal).max(1);
        let text = size.bytes / BYTES_PER_STEP;
        self.terms.iter().fold(0, |sum: u64, term| {
            let weight = match term.weight {
                Weight::One => 0,
                Weight::Text => text,
                Weight::Whole => size.values.saturating_add(text),
            };
            let turns = longest.saturating_pow(term.loops.into());
            let steps = match (term.names, term.loops.checked_sub(1)) {
                (Names::None | Names::Loop, Some(outer)) => {
                    turns.saturating_add(longest.saturating_pow(outer.into()).saturating_mul(weight))
                }
                _ => turns.saturating_mul(weight.saturating_add(1)),
            };
            sum.saturating_add(steps)
        })
    }
}

struct Walk<'a> {
    cost: Cost,
    /// The variables of the loops around the node.
    variables: Vec<&'a str>,
    nodes: usize,
    level: usize,
    calculations: usize,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, node: &'a IdedExpr) -> Result<Names, FilterFault> {
        self.nodes += 1;
        self.level += 1;
        // The level is looked at before the walk goes on, which uses the stack as the evaluation does.
        if self.nodes > NODES_MAX || self.level > LEVELS_MAX {
            return Err(FilterFault::TooLong);
        }
        let names = match &node.expr {
            Expr::Literal(_) => self.note(Names::None, Weight::One),
            Expr::Ident(name) => {
                let names = self.names(name)?;
                self.note(names, Weight::One)
            }
            Expr::Select(select) => {
                let names = self.visit(&select.operand)?;
                self.note(names, Weight::One)
            }
            Expr::Call(call) => self.call(call)?,
            Expr::List(list) => self.list(list)?,
            Expr::Comprehension(comprehension) => self.comprehension(comprehension)?,
            Expr::Map(_) | Expr::Struct(_) => return Err(FilterFault::unsupported("a map written out")),
            Expr::Unspecified => return Err(FilterFault::unsupported("an empty expression")),
        };
        self.level -= 1;
        Ok(names)
    }

    fn note(&mut self, names: Names, weight: Weight) -> Names {
        self.cost.terms.push(Term { loops: self.variables.len() as u8, names, weight });
        names
    }

    fn names(&self, name: &str) -> Result<Names, FilterFault> {
        if name == RESULT {
            return Ok(Names::None);
        }
        if self.variables.contains(&name) {
            return Ok(Names::Loop);
        }
        if VARIABLES.contains(&name) { Ok(Names::Message) } else { Err(FilterFault::UnknownVariable(name.to_owned())) }
    }

    fn call(&mut self, call: &'a CallExpr) -> Result<Names, FilterFault> {
        let mut names = Names::None;
        for argument in call.target.as_deref().into_iter().chain(&call.args) {
            names = names.max(self.visit(argument)?);
        }
        let weight = self.weight_of(call)?;
        Ok(self.note(names, weight))
    }

    /// The weight of a call, if there is such a function with so many arguments.
    fn weight_of(&mut self, call: &CallExpr) -> Result<Weight, FilterFault> {
        let is_literal = |argument: &IdedExpr| matches!(argument.expr, Expr::Literal(_));
        let is_result = |argument: &IdedExpr| matches!(&argument.expr, Expr::Ident(name) if name == RESULT);
        match (call.func_name.as_str(), call.target.is_some(), call.args.len()) {
            (op::CONDITIONAL, false, 3) | (op::LOGICAL_AND | op::LOGICAL_OR | op::INDEX, false, 2) => Ok(Weight::One),
            (op::LOGICAL_NOT | op::NOT_STRICTLY_FALSE | op::NEGATE, false, 1) => Ok(Weight::One),
            (op::EQUALS | op::NOT_EQUALS | op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS, false, 2) => {
                Ok(if call.args.iter().any(is_literal) { Weight::One } else { Weight::Whole })
            }
            (op::IN, false, 2) if matches!(call.args[1].expr, Expr::List(_)) => Ok(Weight::One),
            (op::IN, false, 2) => Ok(Weight::Whole),
            (op::ADD | op::SUBSTRACT | op::MULTIPLY | op::DIVIDE | op::MODULO, false, 2) => {
                self.calculations += 1;
                if self.calculations > CALCULATIONS_MAX {
                    return Err(FilterFault::unsupported("more than 16 calculations"));
                }
                Ok(if call.args.iter().any(is_result) { Weight::One } else { Weight::Whole })
            }
            ("contains" | "startsWith" | "endsWith", true, 1) | ("size", true, 0) => Ok(Weight::Text),
            ("size" | "int" | "uint" | "double" | "string" | "bool", false, 1) => Ok(Weight::Text),
            (name, _, arguments) => Err(FilterFault::UnknownFunction { name: name.to_owned(), arguments }),
        }
    }

    /// Only plain values, or the one element that `filter` keeps: a list of whole payloads would grow without bound.
    fn list(&mut self, list: &'a ListExpr) -> Result<Names, FilterFault> {
        let unsupported = || FilterFault::unsupported("a list of anything but plain values, or map()");
        let kept = match list.elements.as_slice() {
            [IdedExpr { expr: Expr::Ident(name), .. }] => self.variables.last().is_some_and(|own| own == name),
            _ => false,
        };
        if !list.optional_indices.is_empty() {
            return Err(unsupported());
        }
        for element in &list.elements {
            if !kept && !matches!(element.expr, Expr::Literal(_)) {
                return Err(unsupported());
            }
            self.visit(element)?;
        }
        self.cost.longest_literal = self.cost.longest_literal.max(list.elements.len() as u64);
        let (names, weight) = if kept { (Names::Loop, Weight::Whole) } else { (Names::None, Weight::One) };
        Ok(self.note(names, weight))
    }

    /// A loop: over a field of the message, of an element of a loop around it, or over a list that is written out. What
    /// an expression has made may be larger than the message, and is not looped over.
    fn comprehension(&mut self, comprehension: &'a ComprehensionExpr) -> Result<Names, FilterFault> {
        if comprehension.iter_var2.is_some() || !is_path(&comprehension.iter_range) {
            return Err(FilterFault::unsupported("a loop over anything but a field or a list written out"));
        }
        if self.variables.len() >= usize::from(LOOPS_MAX) {
            return Err(FilterFault::unsupported("more than two loops inside one another"));
        }
        let names = self.visit(&comprehension.iter_range)?;
        // Each element is copied when its turn comes.
        self.note(names, Weight::Whole);
        self.visit(&comprehension.accu_init)?;
        self.variables.push(&comprehension.iter_var);
        let mut inside = Names::None;
        for part in [&comprehension.loop_cond, &comprehension.loop_step] {
            inside = inside.max(self.visit(part)?);
        }
        self.variables.pop();
        self.visit(&comprehension.result)?;
        Ok(names.max(if inside == Names::Message { Names::Message } else { names }))
    }
}

/// True for a variable with fields and fixed indices behind it, and for a list that is written out.
fn is_path(node: &IdedExpr) -> bool {
    let mut node = node;
    loop {
        node = match &node.expr {
            Expr::List(_) => return true,
            Expr::Ident(name) => return name != RESULT,
            Expr::Select(select) if !select.test => &select.operand,
            Expr::Call(call) if call.func_name == op::INDEX && call.args.len() == 2 => {
                if !matches!(call.args[1].expr, Expr::Literal(_)) {
                    return false;
                }
                &call.args[0]
            }
            _ => return false,
        };
    }
}
