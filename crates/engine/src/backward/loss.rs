//! From the last hidden states to losses and back.

use openledger_kernels::{Finish, Mat, MatRef, Start};

use super::layer::{Backward, Grads};
use super::{Item, SequenceLoss, zeroed};
use crate::forward::Work;
use crate::model::Acts;

/// Positions whose logits are held at once: 32 MB for a vocabulary of 128k.
const POSITIONS: usize = 64;

/// A position with a target.
struct Position {
    row: usize,
    seq: usize,
    target: usize,
    scale: f32,
}

impl Backward<'_> {
    /// Losses of all sequences, and the gradient by the last hidden states in `grads.h`.
    pub(super) fn loss(
        &self,
        h: &Mat,
        batch: &[Item<'_>],
        work: &mut Work,
        grads: &mut Grads,
        losses: &mut [SequenceLoss],
    ) {
        zeroed(&mut grads.h, self.pass.plan.rows(), self.pass.weights.config.hidden);
        let mut logits = std::mem::take(&mut grads.logits);
        for positions in self.positions(batch).chunks(POSITIONS) {
            let rows = positions.iter().map(|position| position.row).collect::<Vec<_>>();
            self.pass.logits(h, &rows, work, &mut logits);
            let values = self.cross_entropies(positions, &mut logits);
            for (position, value) in positions.iter().zip(values) {
                losses[position.seq].loss_sum += value;
                losses[position.seq].tokens += 1;
            }
            self.through_output(h, positions, logits.view(), &mut work.acts, grads);
        }
        grads.logits = logits;
    }

    fn positions(&self, batch: &[Item<'_>]) -> Vec<Position> {
        let of_seq = |seq: &crate::forward::PlanSeq| {
            let (index, sequence, rows) = (seq.chunk, &batch[seq.chunk].1, seq.rows.clone());
            let targets = rows.zip(&sequence.targets[seq.start..]).filter_map(|(row, target)| Some((row, (*target)?)));
            let position = |(row, target)| Position { row, seq: index, target: target as usize, scale: sequence.scale };
            targets.map(position).collect::<Vec<_>>()
        };
        self.pass.plan.seqs.iter().flat_map(of_seq).collect()
    }

    /// Turns logits into their gradients; returns the losses.
    fn cross_entropies(&self, positions: &[Position], logits: &mut Mat) -> Vec<f32> {
        let cap = self.pass.weights.config.final_softcap;
        let vocab = logits.view().cols();
        let mut values = vec![0.0; positions.len()];
        let rows = logits.data_mut().chunks_exact_mut(vocab).zip(&mut values);
        self.pass.cpu.pool().each(rows, |i, (row, value)| {
            let (path, position) = (self.pass.cpu.path(), &positions[i]);
            let capped = cap.map(|_| row.to_vec());
            let (top, aimed) = (path.max(row), row[position.target]);
            let sum = path.exp_sum(row, top);
            *value = top + libm::logf(sum) - aimed;
            path.cross_entropy_gradient(row, 1.0 / sum, position.target, position.scale);
            if let (Some(cap), Some(capped)) = (cap, capped) {
                path.softcap_backward(&capped, cap, row);
            }
        });
        values
    }

    fn through_output(&self, h: &Mat, positions: &[Position], logits: MatRef<'_>, acts: &mut Acts, grads: &mut Grads) {
        let (weights, cpu) = (self.pass.weights, self.pass.cpu);
        let mut d = Mat::default();
        acts.backward(cpu, logits, weights.output(), &mut d, (Start::Zero, Finish::default()));
        for (i, position) in positions.iter().enumerate() {
            let hidden = weights.config.hidden;
            let out = &mut grads.h.data_mut()[position.row * hidden..(position.row + 1) * hidden];
            cpu.path().rms_norm_backward(
                h.view().row(position.row),
                &weights.final_norm,
                weights.config.eps,
                d.view().row(i),
                out,
            );
        }
    }
}
