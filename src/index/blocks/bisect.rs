//! Bisects the rows of a group, along the direction in which they differ, until the parts are blocks.

use super::groups::inverse_length;
use crate::index::Rows;
use crate::index::scan::centred;
use crate::kernels::rows::{rows_axpy, rows_dot};
use crate::kernels::{MatRef, RowIds};

/// How often the direction of a cut is taken from the means of the two halves (balanced 2-means, as in Parabel: Prabhu
/// et al. 2018). docs/decisions.md has the figures for a second pass.
const PASSES: usize = 1;

/// The least share of the members on either side of a cut. Equal halves would cut through clusters.
const LEAST: f64 = 0.25;

/// The blocks of a group.
#[derive(Debug, Default)]
pub struct Parts {
    /// The rows, block after block, increasing within a block.
    pub items: Vec<u32>,
    /// The number of rows of each block.
    pub lens: Vec<u32>,
    /// The mean row of each block (blocks, D).
    pub means: Vec<f32>,
    /// The mean bias of each block.
    pub biases: Vec<f32>,
    /// Floating-point operations that the bisection took.
    pub flops: usize,
}

struct Group<'a, 'b> {
    rows: &'a Rows<'b>,
    centre: &'a [f32],
    /// The group's rows less the centre (members, D + 1).
    x: Vec<f32>,
    inverse_lengths: Vec<f32>,
    ids: &'a [u32],
    block: usize,
    parts: Parts,
    /// The score of a member, and the member.
    scored: Vec<(f32, u32)>,
    /// One number for each member at work.
    scores: Vec<f32>,
}

/// Bisects the rows `ids` into blocks of at most `block`.
pub fn bisect(rows: &Rows, centre: &[f32], ids: &[u32], block: usize) -> Parts {
    let len = centre.len();
    let mut x = vec![0.0; ids.len() * len];
    x.chunks_mut(len).zip(ids).for_each(|(x, &id)| centred(rows, id as usize, centre, x));
    let inverse_lengths = x.chunks(len).map(|x| inverse_length(rows, x)).collect();
    let (parts, scored, scores) = (Parts::default(), Vec::new(), Vec::new());
    let mut group = Group { rows, centre, x, inverse_lengths, ids, block, parts, scored, scores };
    let mut members: Vec<u32> = (0..ids.len() as u32).collect();
    group.cut(&mut members);
    group.parts
}

impl Group<'_, '_> {
    fn row(&self, member: u32) -> &[f32] {
        let len = self.centre.len();
        &self.x[member as usize * len..][..len]
    }

    fn cut(&mut self, members: &mut [u32]) {
        if members.len() <= self.block {
            return self.finish(members);
        }
        let (one, other) = (members[0], self.least_like(members));
        let mut direction: Vec<f32> = self.unit(one).zip(self.unit(other)).map(|(one, other)| one - other).collect();
        let mut left = self.split(members, members.len() / 2, &direction);
        for _ in 0..PASSES {
            self.difference(members, left, &mut direction);
            left = self.split(members, left, &direction);
        }
        let (left, right) = members.split_at_mut(left);
        self.cut(left);
        self.cut(right);
    }

    /// A member's row, scaled to length 1.
    fn unit(&self, member: u32) -> impl Iterator<Item = f32> {
        let scale = self.inverse_lengths[member as usize];
        self.row(member).iter().map(move |x| scale * x)
    }

    /// The cosine of each member with `direction`, up to a common factor.
    fn score(&mut self, members: &[u32], direction: &[f32]) {
        let count = self.ids.len();
        self.scores.resize(members.len(), 0.0);
        self.parts.flops += 2 * members.len() * direction.len();
        let active = RowIds::new(members, count).expect("members are places of the group");
        rows_dot(self.rows.level, &mut self.scores, active, MatRef::new(&self.x, count, direction.len()), direction);
        self.scored.clear();
        let scale = |(&score, &member): (&f32, &u32)| (score * self.inverse_lengths[member as usize], member);
        self.scored.extend(self.scores.iter().zip(members).map(scale));
    }

    /// The member least like the first.
    fn least_like(&mut self, members: &[u32]) -> u32 {
        let first = self.row(members[0]).to_vec();
        self.score(members, &first);
        let least = self.scored.iter().min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        least.map_or(members[0], |least| least.1)
    }

    /// Reorders `members` so that those along `direction` come first; returns how many these are. The cut is at the
    /// middle between the mean scores of the first `left` members and of the others, with at least [`LEAST`] of the
    /// members on either side. Ties keep the order of their numbers.
    fn split(&mut self, members: &mut [u32], left: usize, direction: &[f32]) -> usize {
        self.score(members, direction);
        let mean = |part: &[(f32, u32)]| part.iter().map(|scored| scored.0).sum::<f32>() / part.len() as f32;
        let middle = (mean(&self.scored[..left]) + mean(&self.scored[left..])) / 2.0;
        let above = self.scored.iter().filter(|scored| scored.0 > middle).count();
        let least = (members.len() as f64 * LEAST) as usize;
        let left = above.clamp(least.max(1), members.len() - least.max(1));
        self.scored.select_nth_unstable_by(left, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        members.iter_mut().zip(&self.scored).for_each(|(member, scored)| *member = scored.1);
        left
    }

    /// The mean of the first `left` members less that of the others, each member scaled to length 1.
    fn difference(&mut self, members: &[u32], left: usize, direction: &mut [f32]) {
        let (first, second) = (1.0 / left as f32, -1.0 / (members.len() - left) as f32);
        let share = |i: usize| if i < left { first } else { second };
        self.scores.clear();
        self.scores.extend(members.iter().enumerate().map(|(i, &m)| share(i) * self.inverse_lengths[m as usize]));
        self.sum(members, direction);
    }

    /// Writes the sum of the members' rows times `scores` to `sum`.
    fn sum(&mut self, members: &[u32], sum: &mut [f32]) {
        let count = self.ids.len();
        self.parts.flops += 2 * members.len() * sum.len();
        let active = RowIds::new(members, count).expect("members are places of the group");
        sum.fill(0.0);
        rows_axpy(self.rows.level, sum, active, &self.scores, MatRef::new(&self.x, count, sum.len()));
    }

    /// Makes a block of `members`.
    fn finish(&mut self, members: &mut [u32]) {
        if members.is_empty() {
            return;
        }
        members.sort_unstable();
        let mut mean = vec![0.0; self.centre.len()];
        self.scores.clear();
        self.scores.resize(members.len(), 1.0 / members.len() as f32);
        self.sum(members, &mut mean);
        mean.iter_mut().zip(self.centre).for_each(|(mean, centre)| *mean += centre);
        let (bias, mean) = mean.split_last().expect("a row and its bias");
        self.parts.means.extend(mean);
        self.parts.biases.push(*bias);
        self.parts.lens.push(members.len() as u32);
        self.parts.items.extend(members.iter().map(|&member| self.ids[member as usize]));
    }
}
