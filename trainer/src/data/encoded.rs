//! The last pass: rows as indices, by part, and what is told of them.

use serde::{Deserialize, Serialize};
use xsfm_interchange::fingerprint::{self, Fingerprint, Vocabulary};
use xsfm_interchange::rows::{Beside, RowBlock};
use xsfm_interchange::schema::Schema;
use xsfm_readers::encoder::{RowEncoder, Told};
use xsfm_readers::pass::{Rows, Walk};
use xsfm_readers::report::FieldReport;
use xsfm_readers::source::Source;

use super::checks;
use super::report::{PartReport, Report};
use super::split::{Assigner, Split};

/// What prepared rows have beside their fields.
pub(super) fn beside(source: &dyn Source) -> Beside {
    Beside { labels: true, weights: source.has_weights() }
}

/// The rows of a block, encoded, by part.
pub(super) struct Encoded {
    pub(super) rows: [RowBlock; 3],
    pub(super) tally: Tally,
}

/// What is told of encoded rows, by part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Tally {
    parts: [PartReport; 3],
    told: [Told; 3],
}

impl Encoded {
    /// Encodes the rows of a block, whose fields are the schema's.
    pub(super) fn of(encoder: &RowEncoder, schema: &Schema, rows: &mut Rows<'_, Assigner>) -> Self {
        let mut encoded = Encoded { rows: [(); 3].map(|()| encoder.block()), tally: Tally::new(schema) };
        let Encoded { rows: blocks, tally } = &mut encoded;
        let mut indices = Vec::new();
        rows.each(|part, row| {
            let part = part as usize;
            encoder.push(row, &mut blocks[part], &mut tally.told[part], &mut indices);
            tally.parts[part].rows += 1;
            tally.parts[part].positives += u64::from(row.label);
        });
        encoded
    }
}

impl Tally {
    /// Of no rows yet.
    pub(super) fn new(schema: &Schema) -> Self {
        Tally { parts: [PartReport::default(); 3], told: [(); 3].map(|()| Told::new(schema.fields.len())) }
    }

    /// Adds what is told of other rows.
    pub(super) fn add(&mut self, other: &Tally) {
        for (all, other) in self.parts.iter_mut().zip(&other.parts) {
            all.rows += other.rows;
            all.positives += other.positives;
        }
        self.told.iter_mut().zip(&other.told).for_each(|(all, other)| all.add(other));
    }

    /// The report of all rows; `rows` are the parts' fingerprints, `warnings` those of the passes before.
    pub(super) fn report(
        self,
        schema: &Schema,
        split: &Split,
        walk: Walk,
        mut warnings: Vec<String>,
        rows: [fingerprint::Rows; 3],
    ) -> Report {
        // What training rows do not know is rare; what others do not know is new.
        let [mut of_train, of_valid, of_test] = self.told;
        of_train.unseen.fill(0);
        [&of_valid, &of_test].into_iter().for_each(|of_others| of_train.add(of_others));
        let fields = FieldReport::all(schema, &of_train);
        let [train, valid, test] = rows.map(Some);
        let fingerprint = Fingerprint { vocabulary: Vocabulary::of(schema), train, valid, test };
        warnings.extend(checks::parts(&self.parts, split));
        let [train, valid, test] = self.parts;
        let (malformed_rows, malformed_examples) = (walk.malformed, walk.examples);
        Report { train, valid, test, malformed_rows, malformed_examples, warnings, fields, fingerprint }
    }
}
