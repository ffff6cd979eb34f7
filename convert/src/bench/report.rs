//! What `xsfm bench` tells, as text or as JSON.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::time::{Cold, Quantiles, Together};

/// What a model costs.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `f32`, `int8` or `dynamic`.
    pub mode: &'static str,
    /// The instructions that scored.
    pub backend: &'static str,
    /// Extensions of the CPU that kernels know.
    pub cpu: Vec<&'static str>,
    /// Whether layers were laid in tiles first.
    pub prepared: bool,
    /// Rows of a call.
    pub batch: usize,
    /// Threads in `rows_per_second`; everything else is of one.
    pub threads: usize,
    /// Rows in a round.
    pub rows: usize,
    /// Rounds after the first, which warms caches up.
    pub rounds: usize,
    /// Median over the rounds of nanoseconds per row.
    pub ns_median: f64,
    /// Fastest round, nanoseconds per row.
    pub ns_min: f64,
    /// Nanoseconds of single calls, the clock's own included.
    pub call: Quantiles,
    /// The same, divided by the rows of a call.
    pub row: Quantiles,
    /// Nanoseconds that reading the clock takes.
    pub timer_ns: f64,
    /// Rows per second of all threads together.
    pub rows_per_second: f64,
    /// The same of 1, 2, 4, … threads; all of them last.
    pub throughput: Vec<Together>,
    /// Before the first row.
    pub start: Start,
    /// Bytes.
    pub memory: Memory,
    /// The parts, by the difference that they make; empty where nobody asked.
    pub profile: Vec<Part>,
    /// Single calls over a long time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soak: Option<Soak>,
    /// Single calls that find nothing in the caches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cold: Option<Cold>,
    /// CRC-32 of all logits of a round, every round the same; in int8 and dynamic mode the same on every back end.
    pub checksum: String,
}

/// Nanoseconds before the first row; medians.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Start {
    /// Opening the file, which maps it into memory; its pages come with what looks at them first, mostly the checksum.
    pub open_ns: f64,
    /// Loading it without its checksum.
    pub load_ns: f64,
    /// The checksum.
    pub checksum_ns: f64,
    /// Laying layers in tiles.
    pub prepare_ns: f64,
    /// The first row.
    pub first_score_ns: f64,
}

/// Bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Memory {
    /// The file.
    pub file_bytes: usize,
    /// Layers in tiles.
    pub prepared_bytes: usize,
    /// Scratch of one thread.
    pub scratch_bytes: usize,
    /// All of these, with scratch for every thread.
    pub announced_bytes: usize,
    /// The most that this process has had at once, the pages of the file that it looked at included; absent where the
    /// system does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
}

/// A part of the model.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    /// What it is.
    pub name: String,
    /// Nanoseconds per row more than without it.
    pub ns: f64,
    /// Nanoseconds per row of the model up to it.
    pub upto_ns: f64,
}

/// Single calls over a long time.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Soak {
    /// How long.
    pub seconds: f64,
    /// Nanoseconds of single calls.
    pub call: Quantiles,
    /// The 99th percentile over the median.
    pub p99_over_p50: f64,
}

impl Soak {
    pub(super) fn new(call: Quantiles, time: Duration) -> Self {
        Soak { seconds: time.as_secs_f64(), call, p99_over_p50: call.p99 / call.p50 }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layout = if self.prepared { "prepared" } else { "as packed" };
        writeln!(f, "{} mode, back end {}, {layout}, {} rows per call", self.mode, self.backend, self.batch)?;
        writeln!(
            f,
            "CPU       {}",
            if self.cpu.is_empty() { "nothing beyond the baseline".to_owned() } else { self.cpu.join(" ") }
        )?;
        let (median, least) = (self.ns_median, self.ns_min);
        writeln!(
            f,
            "per row   {median:.0} ns: median of {} rounds over {} rows, fastest {least:.0}",
            self.rounds, self.rows
        )?;
        write_quantiles(f, "per call", &self.call)?;
        if self.batch > 1 {
            write_quantiles(f, "       / rows", &self.row)?;
        }
        writeln!(f, "          of which {:.0} ns for the clock", self.timer_ns)?;
        if let Some(Cold { call, flood_bytes }) = &self.cold {
            write_quantiles(f, "cold", call)?;
            writeln!(f, "          after {} MB of other memory each", flood_bytes >> 20)?;
        }
        let one = self.throughput.first().map_or(0.0, |one| one.rows_per_second);
        for (line, Together { threads, rows_per_second }) in self.throughput.iter().enumerate() {
            let plural = if *threads == 1 { "" } else { "s" };
            write!(
                f,
                "{:<8}  {rows_per_second:.0} on {threads} thread{plural}",
                if line == 0 { "rows/s" } else { "" }
            )?;
            if line == 0 { writeln!(f)? } else { writeln!(f, ", {:.2} times one", rows_per_second / one)? }
        }
        let Start { open_ns, load_ns, checksum_ns, prepare_ns, first_score_ns } = self.start;
        let us = |ns: f64| ns / 1e3;
        write!(
            f,
            "start     open {:.1} µs, load {:.1} µs, checksum {:.0} µs",
            us(open_ns),
            us(load_ns),
            us(checksum_ns)
        )?;
        writeln!(f, ", prepare {:.0} µs, first score {:.1} µs", us(prepare_ns), us(first_score_ns))?;
        let Memory { file_bytes, prepared_bytes, scratch_bytes, announced_bytes, peak_bytes } = self.memory;
        write!(f, "memory    file {file_bytes}, prepared {prepared_bytes}, scratch {scratch_bytes} per thread: ")?;
        write!(f, "{announced_bytes} bytes")?;
        writeln!(f, "{}", peak_bytes.map(|peak| format!("; peak of the process {peak}")).unwrap_or_default())?;
        if !self.profile.is_empty() {
            let width = self.profile.iter().map(|part| part.name.chars().count()).max().unwrap_or(0);
            writeln!(
                f,
                "\n{:<width$}  {:>9}  {:>9}  (ns per row more than without it; model up to it)",
                "part", "ns", "up to"
            )?;
            for Part { name, ns, upto_ns } in &self.profile {
                writeln!(f, "{name:<width$}  {ns:>9.0}  {upto_ns:>9.0}")?;
            }
            writeln!(f)?;
        }
        if let Some(soak) = &self.soak {
            write_quantiles(f, &format!("{:.0} s", soak.seconds), &soak.call)?;
            writeln!(f, "          p99 is {:.2} times p50", soak.p99_over_p50)?;
        }
        writeln!(f, "checksum of the logits: {}", self.checksum)
    }
}

fn write_quantiles(f: &mut fmt::Formatter<'_>, what: &str, of: &Quantiles) -> fmt::Result {
    let Quantiles { p50, p90, p99, p999, max, calls } = of;
    writeln!(
        f,
        "{what:<8}  p50 {p50:.0}, p90 {p90:.0}, p99 {p99:.0}, p99.9 {p999:.0}, most {max:.0} ns of {calls} calls"
    )
}
