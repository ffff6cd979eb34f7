//! DeepLight (WayneDW/DeepLight_Deep-Lightweight-Feature-Interactions): `DeepFMs` with FM, FwFM and layers, and LR.
//!
//! | name | shape | where |
//! |---|---|---|
//! | `fm_1st_embeddings.F.weight` | `[rows, 1]` | without `use_fwlw` |
//! | `fwfm_linear.weight` | `[fields, embed_dim]` | with `use_fwlw`, in place of the above |
//! | `fm_1st.weight` | `[1, fields]` | with `use_lw`: multiplies whichever of them, field by field |
//! | `fm_2nd_embeddings.F.weight` | `[rows, embed_dim]` | but for LR |
//! | `field_cov.weight` | `[fields, fields]` | with `use_fwfm` |
//! | `net_K_linear_N.*`, `net_K_batch_norm_N.*`, `net_K_fc.weight` | layers | with `use_deep` |
//! | `bias` | `[1]` | |
//!
//! Of several stacks of layers, K = 1 to `num_deeps`, `forward` adds the last one alone. LR adds no layers.

use super::builder::{Builder, Embedding, Field, Layers, Linear, PairWeights};
use super::described::{Described, First};
use super::keys::Keys;
use super::lacks;
use super::layers::LayerReader;
use super::library::{Classes, Library};
use super::tables::own;
use crate::error::Error;
use crate::tensors::Tensors;

const CLASSES: Classes<()> =
    Classes { library: Library::DeepLight, read: &[("DeepFMs", ())], refused: &[("NFM", lacks::PRODUCTS)] };

/// What the constructor was given.
struct Switches {
    logit: bool,
    fm: bool,
    fwfm: bool,
    deep: bool,
    lw: bool,
    fwlw: bool,
    num_deeps: u32,
}

impl Switches {
    fn read(keys: &Keys<'_>, fields: &[Described]) -> Result<Self, Error> {
        let on = |name: &str, by_default: bool| Ok::<_, Error>(keys.switch(name)?.unwrap_or(by_default));
        let switches = Switches {
            logit: on("use_logit", false)?,
            fm: on("use_fm", true)?,
            fwfm: on("use_fwfm", false)?,
            deep: on("use_deep", true)?,
            lw: on("use_lw", true)?,
            fwlw: on("use_fwlw", false)?,
            num_deeps: keys.option("num_deeps")?.unwrap_or(1),
        };
        if on("use_ffm", false)? {
            let message = format!("`use_ffm`: it has {}, which no packed file holds", lacks::FIELD_AWARE);
            return Err(keys.error("options", message));
        }
        if [switches.logit, switches.fm, switches.fwfm].into_iter().filter(|&on| on).count() != 1 {
            let message = "one of `use_logit`, `use_fm` and `use_fwfm` must be on: `forward` needs one, and takes one";
            return Err(keys.error("options", message));
        }
        if switches.logit && switches.fwlw {
            return Err(keys.error("options", "`use_fwlw` with `use_logit`: LR has no vectors to multiply"));
        }
        // The first so many fields have a value instead of an index. 13 by default, unless `field_types` says better.
        let by_types = keys.optional::<Vec<String>>("field_types")?.map(|_| 0);
        match keys.option::<u64>("numerical")?.or(by_types) {
            Some(0) => {}
            Some(n) => {
                let message = format!(
                    "`numerical` is {n}: the values of field `{}` multiply its vector, which no packed file holds",
                    fields.first().map(|field| field.name.as_str()).unwrap_or_default()
                );
                return Err(keys.error("options", message));
            }
            None => return Err(keys.error("options", "`numerical` is missing, and so is `field_types`")),
        }
        if switches.num_deeps == 0 && switches.deep {
            return Err(keys.error("options", "`num_deeps` is 0, but `use_deep` is on"));
        }
        Ok(switches)
    }

    fn first_order(&self) -> First {
        if self.fwlw { First::FieldVector } else { First::FeatureWeight }
    }

    fn interaction(&self) -> &'static [&'static str] {
        match (self.fm, self.fwfm) {
            (true, _) => &["unit"],
            (false, true) => &["field"],
            (false, false) => &["none"],
        }
    }

    fn architecture(&self) -> &'static [&'static str] {
        match (self.logit, self.fm, self.deep) {
            (true, ..) => &["lr"],
            (false, true, true) => &["deepfm"],
            (false, true, false) => &["fm"],
            (false, false, true) => &["deepfwfm"],
            (false, false, false) => &["fwfm"],
        }
    }

    /// Whether `forward` adds layers.
    fn layers(&self) -> bool {
        self.deep && !self.logit
    }

    /// What lies in the state dict without influence: other stacks of layers, and all that LR does not add.
    fn unused(&self, names: Vec<&str>) -> Vec<String> {
        let last = format!("net_{}_", self.num_deeps);
        let is_unused = |name: &&str| {
            let of_layers = name.starts_with("net_") && self.deep;
            (of_layers && !(self.layers() && name.starts_with(&last)))
                || (self.logit && self.deep && name.starts_with("fm_2nd_embeddings."))
        };
        names.into_iter().filter(is_unused).map(str::to_owned).collect()
    }
}

/// The model that `config.json` describes, with its numbers.
pub(super) fn read(keys: &Keys<'_>, tensors: &Tensors<'_>) -> Result<Builder, Error> {
    CLASSES.of(keys)?;
    let fields = keys.fields()?;
    keys.no_bags(&fields, Library::DeepLight.name())?;
    let switches = Switches::read(keys, &fields)?;
    keys.word_agrees("architecture", switches.architecture())?;
    keys.word_agrees("interaction", switches.interaction())?;
    keys.first_order(&[switches.first_order()])?;
    let has_vectors = !switches.logit;
    let dim = if has_vectors { keys.embed_dim()? } else { 0 };
    let hidden = keys.hidden(switches.layers(), "it, as `options` say,")?;
    let unused = switches.unused(tensors.names());
    keys.names_agree("unused_tensors", &unused, "it, as `options` say,")?;
    unused.iter().for_each(|name| tensors.leave_out(name));

    let num_fields = fields.len();
    let scales = match switches.lw && has_vectors {
        true => tensors.real("fm_1st.weight", &[1, num_fields])?,
        false => vec![1.0; num_fields],
    };
    let scaled = |numbers: &mut [f32], scale: f32| numbers.iter_mut().for_each(|number| *number *= scale);
    let mut builder = Builder::default();
    for (f, (Described { name, features, bag }, &scale)) in fields.iter().zip(&scales).enumerate() {
        let table = |prefix: &str, columns: usize| own(tensors, &format!("{prefix}.{f}.weight"), *features, columns);
        let embedding = has_vectors.then(|| table("fm_2nd_embeddings", dim).map(Embedding::Full)).transpose()?;
        let mut weights = (!switches.fwlw).then(|| table("fm_1st_embeddings", 1)).transpose()?;
        weights.iter_mut().for_each(|table| scaled(&mut table.values, scale));
        let weights = weights.map(|table| table.values);
        builder.fields.push(Field { name: name.clone(), features: *features, bag: *bag, embedding, weights });
    }
    if switches.fwlw {
        let mut vectors = tensors.real("fwfm_linear.weight", &[num_fields, dim])?;
        vectors.chunks_exact_mut(dim).zip(&scales).for_each(|(vector, &scale)| scaled(vector, scale));
        builder.field_vectors = Some(vectors);
    }
    for name in keys.biases(&["bias"])? {
        builder.bias += f64::from(tensors.real(name, &[1])?[0]);
    }
    if switches.fm {
        builder.pairs = PairWeights::Unit;
    } else if switches.fwfm {
        builder.pairs = PairWeights::Matrix(tensors.real("field_cov.weight", &[num_fields, num_fields])?);
    }
    if switches.layers() {
        if hidden.is_empty() {
            return Err(keys.error("hidden", "is empty, but `use_deep` is on, and its layers have at least one"));
        }
        let reader = LayerReader { tensors, epsilon: keys.epsilon()? };
        let batch_norm = batch_norm(keys)?;
        let linears = layers(reader, switches.num_deeps, num_fields * dim, &hidden, batch_norm)?;
        builder.layers = Some(Layers { order: None, norm: None, linears });
    }
    Ok(builder)
}

/// By `batch_norm` and by the constructor's word, which must agree.
fn batch_norm(keys: &Keys<'_>) -> Result<bool, Error> {
    let (said, constructed) = (keys.optional("batch_norm")?, keys.switch("is_batch_norm")?);
    match (said, constructed) {
        (Some(said), Some(constructed)) if said != constructed => {
            Err(keys.error("batch_norm", format!("is {said}, but is_batch_norm in `options` is {constructed}")))
        }
        _ => Ok(said.or(constructed).unwrap_or(false)),
    }
}

/// Stack `k`; the output layer has no bias.
fn layers(
    reader: LayerReader<'_>,
    k: u32,
    inputs: usize,
    hidden: &[usize],
    batch_norm: bool,
) -> Result<Vec<Linear>, Error> {
    let mut inputs = inputs;
    let mut layers = Vec::with_capacity(hidden.len() + 1);
    for (n, &outputs) in (1..).zip(hidden) {
        let linear = reader.linear(&format!("net_{k}_linear_{n}"), inputs, outputs, true)?;
        let norm = batch_norm.then(|| reader.norm(&format!("net_{k}_batch_norm_{n}"), outputs)).transpose()?;
        layers.push(Linear { norm, ..linear });
        inputs = outputs;
    }
    layers.push(reader.linear(&format!("net_{k}_fc"), inputs, 1, false)?);
    Ok(layers)
}
