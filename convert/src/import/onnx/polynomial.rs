//! What an element of a graph's tensors is: a polynomial, of degree two at most, in the numbers that a row looks up and
//! in what hidden layers give.

/// A number that depends on the row.
pub(super) type Atom = u32;

/// `constant + sum_i c_i a_i + sum_ij d_ij a_i a_j`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Polynomial {
    pub(super) constant: f64,
    /// In the order of the atoms, each once.
    pub(super) linear: Vec<(Atom, f64)>,
    /// The same; of a pair the lower one is first.
    pub(super) quadratic: Vec<((Atom, Atom), f64)>,
}

impl From<Atom> for Polynomial {
    fn from(atom: Atom) -> Self {
        Polynomial { linear: vec![(atom, 1.0)], ..Polynomial::default() }
    }
}

impl From<f64> for Polynomial {
    fn from(constant: f64) -> Self {
        Polynomial { constant, ..Polynomial::default() }
    }
}

impl Polynomial {
    /// Whether no row changes it.
    pub(super) fn is_constant(&self) -> bool {
        self.linear.is_empty() && self.quadratic.is_empty()
    }

    /// The atom that it is.
    pub(super) fn atom(&self) -> Option<Atom> {
        match (self.linear.as_slice(), self.quadratic.is_empty()) {
            (&[(atom, 1.0)], true) if self.constant == 0.0 => Some(atom),
            _ => None,
        }
    }

    /// `factor self`.
    pub(super) fn scaled(mut self, factor: f64) -> Self {
        if factor == 0.0 {
            return Polynomial::default();
        }
        self.constant *= factor;
        self.linear.iter_mut().for_each(|(_, c)| *c *= factor);
        self.quadratic.iter_mut().for_each(|(_, c)| *c *= factor);
        self
    }

    /// `sum_n factor_n term_n`.
    pub(super) fn sum<'p>(terms: impl IntoIterator<Item = (f64, &'p Polynomial)>) -> Self {
        let mut sum = Polynomial::default();
        for (factor, term) in terms.into_iter().filter(|&(factor, _)| factor != 0.0) {
            sum.constant += factor * term.constant;
            sum.linear.extend(term.linear.iter().map(|&(atom, c)| (atom, factor * c)));
            sum.quadratic.extend(term.quadratic.iter().map(|&(pair, c)| (pair, factor * c)));
        }
        merge(&mut sum.linear);
        merge(&mut sum.quadratic);
        sum
    }

    /// `self other`; nothing where that has a degree above two.
    pub(super) fn product(&self, other: &Self) -> Option<Self> {
        if other.is_constant() {
            return Some(self.clone().scaled(other.constant));
        }
        if self.is_constant() {
            return Some(other.clone().scaled(self.constant));
        }
        if !(self.quadratic.is_empty() && other.quadratic.is_empty()) {
            return None;
        }
        let mut product = Polynomial::sum([(other.constant, self), (self.constant, other)]);
        // Both have it.
        product.constant = self.constant * other.constant;
        for &(a, c) in &self.linear {
            product.quadratic.extend(other.linear.iter().map(|&(b, d)| ((a.min(b), a.max(b)), c * d)));
        }
        merge(&mut product.quadratic);
        Some(product)
    }
}

/// Sorts terms, and adds those of one key; what cancels is gone.
fn merge<K: Copy + Ord>(terms: &mut Vec<(K, f64)>) {
    terms.sort_by_key(|&(key, _)| key);
    terms.dedup_by(|later, kept| {
        let same = later.0 == kept.0;
        if same {
            kept.1 += later.1;
        }
        same
    });
    terms.retain(|&(_, c)| c != 0.0);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]
mod tests {
    use super::*;

    fn of(constant: f64, linear: &[(Atom, f64)]) -> Polynomial {
        Polynomial { constant, linear: linear.to_vec(), quadratic: Vec::new() }
    }

    #[test]
    fn the_square_of_a_sum_less_the_sum_of_squares_is_the_pairs() {
        // FM: 1/2 ((a + b)^2 - (a^2 + b^2)) = a b
        let (a, b) = (Polynomial::from(0), Polynomial::from(1));
        let sum = Polynomial::sum([(1.0, &a), (1.0, &b)]);
        let squares = [&a, &b].map(|p| p.product(p).unwrap());
        let difference = Polynomial::sum([
            (0.5, &sum.product(&sum).unwrap()),
            (-0.5, &Polynomial::sum(squares.iter().map(|square| (1.0, square)))),
        ]);
        assert_eq!(difference.quadratic, [((0, 1), 1.0)]);
        assert!(difference.linear.is_empty());
    }

    #[test]
    fn products_and_sums_have_the_values_of_their_parts() {
        let (p, q) = (of(2.0, &[(0, 3.0), (2, -1.0)]), of(-5.0, &[(1, 4.0), (2, 0.5)]));
        let value = |p: &Polynomial| {
            let atoms = [1.5, -2.0, 0.25];
            let linear = p.linear.iter().map(|&(a, c)| c * atoms[a as usize]);
            let quadratic = p.quadratic.iter().map(|&((a, b), c)| c * atoms[a as usize] * atoms[b as usize]);
            p.constant + linear.chain(quadratic).sum::<f64>()
        };
        assert_eq!(value(&p.product(&q).unwrap()), value(&p) * value(&q));
        assert_eq!(value(&Polynomial::sum([(2.0, &p), (-3.0, &q)])), 2.0 * value(&p) - 3.0 * value(&q));
        assert!(p.product(&q).unwrap().product(&p).is_none(), "degree three");
        assert_eq!(Polynomial::sum([(1.0, &p), (-1.0, &p)]), Polynomial::default());
    }
}
