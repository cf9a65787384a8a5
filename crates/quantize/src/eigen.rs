//! Eigenvectors of a symmetric matrix, in `f64`.
//!
//! Householder reflections bring the matrix to three diagonals, then QL steps with implicit shifts
//! to one (EISPACK's `tred2` and `tql2`; Bowdler, Martin, Reinsch & Wilkinson 1968). The vectors
//! are orthogonal to working precision whatever the matrix, also where eigenvalues coincide.
//!
//! The matrix of vectors is kept transposed, so that the inner loops walk along rows.

/// Steps for one eigenvalue before it is taken as it is. Two or three are usual.
const STEPS_MAX: usize = 60;

/// Eigenvalues of `matrix`, `[dim, dim]` and symmetric, in no order, and their vectors as rows.
pub(crate) fn eigenvectors(mut matrix: Vec<f64>, dim: usize) -> (Vec<f64>, Vec<f64>) {
    let mut system = System {
        dim,
        vectors: std::mem::take(&mut matrix),
        diagonal: vec![0.0; dim],
        beside: vec![0.0; dim],
    };
    system.make_tridiagonal();
    system.accumulate();
    system.make_diagonal();
    (system.diagonal, system.vectors)
}

struct System {
    dim: usize,
    /// `at(j, k)` is component `k` of vector `j`.
    vectors: Vec<f64>,
    diagonal: Vec<f64>,
    /// The diagonal next to it.
    beside: Vec<f64>,
}

impl System {
    fn at(&mut self, vector: usize, component: usize) -> &mut f64 {
        &mut self.vectors[vector * self.dim + component]
    }

    fn make_tridiagonal(&mut self) {
        let dim = self.dim;
        for j in 0..dim {
            self.diagonal[j] = *self.at(j, dim - 1);
        }
        for i in (1..dim).rev() {
            let scale: f64 = self.diagonal[..i].iter().map(|x| x.abs()).sum();
            let mut h = 0.0;
            if scale == 0.0 {
                self.beside[i] = self.diagonal[i - 1];
                for j in 0..i {
                    self.diagonal[j] = *self.at(j, i - 1);
                    *self.at(j, i) = 0.0;
                    *self.at(i, j) = 0.0;
                }
            } else {
                h = self.reflect(i, scale);
            }
            self.diagonal[i] = h;
        }
    }

    /// One Householder reflection; gives half the square of its vector.
    fn reflect(&mut self, i: usize, scale: f64) -> f64 {
        let dim = self.dim;
        let mut h = 0.0;
        for x in &mut self.diagonal[..i] {
            *x /= scale;
            h += *x * *x;
        }
        let f = self.diagonal[i - 1];
        let g = if f > 0.0 { -f64::sqrt(h) } else { f64::sqrt(h) };
        self.beside[i] = scale * g;
        h -= f * g;
        self.diagonal[i - 1] = f - g;
        self.beside[..i].fill(0.0);
        for j in 0..i {
            let f = self.diagonal[j];
            *self.at(i, j) = f;
            let mut g = self.beside[j] + *self.at(j, j) * f;
            let row = &self.vectors[j * dim..][..i];
            let others = self.beside[j + 1..i]
                .iter_mut()
                .zip(&self.diagonal[j + 1..i]);
            for (x, (beside, diagonal)) in row[j + 1..].iter().zip(others) {
                g += x * diagonal;
                *beside += x * f;
            }
            self.beside[j] = g;
        }
        let mut f = 0.0;
        for j in 0..i {
            self.beside[j] /= h;
            f += self.beside[j] * self.diagonal[j];
        }
        let half = f / (h + h);
        for j in 0..i {
            self.beside[j] -= half * self.diagonal[j];
        }
        for j in 0..i {
            let (f, g) = (self.diagonal[j], self.beside[j]);
            let row = &mut self.vectors[j * dim..][..i];
            let others = self.beside[j..i].iter().zip(&self.diagonal[j..i]);
            for (x, (beside, diagonal)) in row[j..].iter_mut().zip(others) {
                *x -= f * beside + g * diagonal;
            }
            self.diagonal[j] = *self.at(j, i - 1);
            *self.at(j, i) = 0.0;
        }
        h
    }

    /// Multiplies the reflections.
    fn accumulate(&mut self) {
        let dim = self.dim;
        for i in 0..dim - 1 {
            *self.at(i, dim - 1) = *self.at(i, i);
            *self.at(i, i) = 1.0;
            let h = self.diagonal[i + 1];
            if h != 0.0 {
                for k in 0..=i {
                    self.diagonal[k] = *self.at(i + 1, k) / h;
                }
                let (done, next) = self.vectors.split_at_mut((i + 1) * dim);
                let next = &next[..=i];
                for row in done.chunks_exact_mut(dim) {
                    let row = &mut row[..=i];
                    let g: f64 = row.iter().zip(next).map(|(x, y)| x * y).sum();
                    for (x, d) in row.iter_mut().zip(&self.diagonal) {
                        *x -= g * d;
                    }
                }
            }
            self.vectors[(i + 1) * dim..][..=i].fill(0.0);
        }
        for j in 0..dim {
            self.diagonal[j] = *self.at(j, dim - 1);
            *self.at(j, dim - 1) = 0.0;
        }
        *self.at(dim - 1, dim - 1) = 1.0;
        self.beside[0] = 0.0;
    }

    fn make_diagonal(&mut self) {
        let dim = self.dim;
        self.beside.copy_within(1.., 0);
        self.beside[dim - 1] = 0.0;
        let (mut shift, mut size) = (0.0, 0.0f64);
        for l in 0..dim {
            size = size.max(self.diagonal[l].abs() + self.beside[l].abs());
            let small = f64::EPSILON * size;
            // The last one is 0, so there is such a place.
            let m = (l..dim)
                .find(|&m| self.beside[m].abs() <= small)
                .unwrap_or(dim - 1);
            if m > l {
                for _ in 0..STEPS_MAX {
                    shift += self.step(l, m);
                    if self.beside[l].abs() <= small {
                        break;
                    }
                }
            }
            self.diagonal[l] += shift;
            self.beside[l] = 0.0;
        }
    }

    /// One QL step on the rows from `l` to `m`; gives by how much the diagonal was shifted.
    fn step(&mut self, l: usize, m: usize) -> f64 {
        let g = self.diagonal[l];
        let p = (self.diagonal[l + 1] - g) / (2.0 * self.beside[l]);
        let r = f64::hypot(p, 1.0).copysign(p);
        self.diagonal[l] = self.beside[l] / (p + r);
        self.diagonal[l + 1] = self.beside[l] * (p + r);
        let next = self.diagonal[l + 1];
        let shift = g - self.diagonal[l];
        for x in &mut self.diagonal[l + 2..] {
            *x -= shift;
        }

        let mut p = self.diagonal[m];
        let (mut c, mut c2, mut c3) = (1.0, 1.0, 1.0);
        let (mut s, mut s2) = (0.0, 0.0);
        let after = self.beside[l + 1];
        for i in (l..m).rev() {
            c3 = c2;
            c2 = c;
            s2 = s;
            let g = c * self.beside[i];
            let h = c * p;
            let r = f64::hypot(p, self.beside[i]);
            self.beside[i + 1] = s * r;
            s = self.beside[i] / r;
            c = p / r;
            p = c * self.diagonal[i] - s * g;
            self.diagonal[i + 1] = h + s * (c * g + s * self.diagonal[i]);
            self.turn(i, c, s);
        }
        p = -s * s2 * c3 * after * self.beside[l] / next;
        self.beside[l] = s * p;
        self.diagonal[l] = c * p;
        shift
    }

    /// Rotates vectors `i` and `i + 1` in their plane.
    fn turn(&mut self, i: usize, c: f64, s: f64) {
        let (low, high) = self.vectors[i * self.dim..].split_at_mut(self.dim);
        for (x, y) in low.iter_mut().zip(high) {
            (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::eigenvectors;
    use crate::random::Random;

    fn check(matrix: &[f64], dim: usize) {
        let (values, vectors) = eigenvectors(matrix.to_vec(), dim);
        let size = matrix
            .iter()
            .fold(0.0f64, |max, x| max.max(x.abs()))
            .max(1e-300);
        for a in 0..dim {
            let va = &vectors[a * dim..][..dim];
            for b in 0..=a {
                let vb = &vectors[b * dim..][..dim];
                let product: f64 = va.iter().zip(vb).map(|(x, y)| x * y).sum();
                let expected = f64::from(u8::from(a == b));
                assert!((product - expected).abs() < 1e-11, "{a} {b}: {product}");
            }
            for row in 0..dim {
                let line = &matrix[row * dim..][..dim];
                let image: f64 = line.iter().zip(va).map(|(x, y)| x * y).sum();
                let off = (image - values[a] * va[row]).abs();
                assert!(off < 1e-11 * size * dim as f64, "{a} {row}: {off}");
            }
        }
    }

    #[test]
    fn vectors_are_orthogonal_and_only_stretched() {
        let mut random = Random::new(5);
        for dim in [1, 2, 3, 17, 60] {
            let mut matrix = vec![0.0; dim * dim];
            for a in 0..dim {
                for b in 0..=a {
                    let x = random.unit() - 0.5;
                    (matrix[a * dim + b], matrix[b * dim + a]) = (x, x);
                }
            }
            check(&matrix, dim);
        }
    }

    #[test]
    fn coinciding_and_missing_eigenvalues_do_no_harm() {
        let dim = 20;
        check(&vec![0.0; dim * dim], dim);
        let mut identity = vec![0.0; dim * dim];
        for at in 0..dim {
            identity[at * dim + at] = 3.0;
        }
        check(&identity, dim);
        // Of rank one, with components that are always 0, as pixels at the border are.
        let line: Vec<f64> = (0..dim).map(|at| (at % 4) as f64).collect();
        let matrix: Vec<f64> = line
            .iter()
            .flat_map(|x| line.iter().map(move |y| x * y))
            .collect();
        check(&matrix, dim);
    }
}
