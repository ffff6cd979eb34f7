//! What a step of Adam is, wherever it is computed: Kingma and Ba 2015 (arXiv:1412.6980), algorithm 1.

use tch::Tensor;

pub(crate) const BETA_1: f64 = 0.9;
pub(crate) const BETA_2: f64 = 0.999;
pub(crate) const EPSILON: f64 = 1e-8;

/// How numbers learn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rule {
    /// lambda: the gradient has `lambda w` more.
    pub(crate) l2: f64,
    /// Factor on the step's learning rate.
    pub(crate) rate: f64,
}

impl Rule {
    pub(crate) const PLAIN: Rule = Rule { l2: 0.0, rate: 1.0 };
}

/// A step's factors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) learning_rate: f64,
    /// Its number, from 1.
    pub(crate) number: i32,
    /// `1 - beta^t` of either moment.
    pub(crate) corrections: [f64; 2],
}

/// Numbers that a step moves, with their moments, all of the same shape and changed in place.
#[derive(Debug)]
pub(crate) struct Move {
    pub(crate) parameter: Tensor,
    pub(crate) mean: Tensor,
    pub(crate) square: Tensor,
    /// None where all of it is 0.
    pub(crate) gradient: Option<Tensor>,
    /// The parameter is multiplied by it first.
    pub(crate) decay: f64,
    pub(crate) rule: Rule,
}

impl Step {
    pub(crate) fn new(number: i32, learning_rate: f64) -> Self {
        Step { learning_rate, number, corrections: [BETA_1, BETA_2].map(|beta| 1.0 - beta.powi(number)) }
    }
}
