//! What `config.json` says of a model, whatever its library: fields, lengths, layers, and what is said twice.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use xsfm_interchange::checkpoint::BATCH_NORM_EPSILON;
use xsfm_runtime::format::limit;

use super::keys::Keys;
use crate::checkpoint::in_range;
use crate::error::Error;

/// A field.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) features: u32,
    /// Whether a row has several indices of it.
    pub(super) bag: bool,
}

/// The first-order term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    None,
    /// A scalar for each feature.
    FeatureWeight,
    /// A vector for each field, by which its vectors are multiplied.
    FieldVector,
    /// The same with a vector for each feature.
    FeatureVector,
}

impl First {
    const ALL: [First; 4] = [First::None, First::FeatureWeight, First::FieldVector, First::FeatureVector];

    /// The word of `config.json`, which a remark in brackets may follow: "field_vector (fwfm_linear)".
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text.split([' ', ',']).next().unwrap_or_default() {
            "fwfm_linear" | "fwlw" => First::FieldVector,
            "feature_weights" | "linear" | "lw" => First::FeatureWeight,
            word => return First::ALL.into_iter().find(|kind| kind.word() == word),
        })
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            First::None => "none",
            First::FeatureWeight => "feature_weight",
            First::FieldVector => "field_vector",
            First::FeatureVector => "feature_vector",
        }
    }
}

/// How the vectors of a bag become one, and its scalars.
#[derive(Deserialize)]
struct Pooling {
    embedding_pooling: Option<String>,
    linear_pooling: Option<String>,
}

impl Keys<'_> {
    /// The fields, by position where they have no names.
    pub(super) fn fields(&self) -> Result<Vec<Described>, Error> {
        let dims: Vec<u32> = self.required("field_dims", "every model")?;
        in_range("number of fields", dims.len(), limit::FIELDS).map_err(|message| self.error("field_dims", message))?;
        let names: Option<Vec<String>> = self.optional("field_names")?;
        if let Some(names) = &names {
            self.counted("field_names", names.len(), dims.len())?;
            let mut seen = BTreeSet::new();
            if let Some(twice) = names.iter().find(|&name| !seen.insert(name)) {
                return Err(self.error("field_names", format!("`{twice}` is there twice")));
            }
        }
        let types: Option<Vec<String>> = self.optional("field_types")?;
        if let Some(types) = &types {
            self.counted("field_types", types.len(), dims.len())?;
        }
        let field = |(f, &features): (usize, &u32)| {
            let name = names.as_ref().map_or_else(|| format!("field_{f}"), |names| names[f].clone());
            let kind = types.as_ref().map_or("categorical", |types| types[f].as_str());
            let bag = match kind {
                "categorical" => false,
                "bag" => true,
                "numeric" | "dense" | "float" => {
                    let message = format!(
                        "field {f}, `{name}`, is `{kind}`: a row's values multiply its vector, or go to the layers as \
                         they are, which no packed file holds"
                    );
                    return Err(self.error("field_types", message));
                }
                _ => {
                    let message = format!("field {f}, `{name}`, is `{kind}`; known are categorical, bag");
                    return Err(self.error("field_types", message));
                }
            };
            in_range(&format!("field `{name}`: features"), features as usize, u32::MAX as usize)
                .map_err(|message| self.error("field_dims", message))?;
            Ok(Described { name, features, bag })
        };
        dims.iter().enumerate().map(field).collect()
    }

    fn counted(&self, key: &str, found: usize, expected: usize) -> Result<(), Error> {
        if found == expected {
            return Ok(());
        }
        Err(self.error(key, format!("has {found} entries, but `field_dims` has {expected}")))
    }

    /// Refuses bags, and a padding row, where `library` has neither.
    pub(super) fn no_bags(&self, fields: &[Described], library: &str) -> Result<(), Error> {
        if let Some(f) = fields.iter().position(|field| field.bag) {
            let message = format!("field {f} is `bag`, but all fields of {library} are `categorical`");
            return Err(self.error("field_types", message));
        }
        match self.optional::<u64>("padding_index")? {
            None => Ok(()),
            Some(index) => Err(self.error("padding_index", format!("is {index}, but {library} has no padding"))),
        }
    }

    /// Whether the bags are sums, of their vectors where `vectors` are read and of their scalars where `scalars` are.
    pub(super) fn bags_are_sums(&self, fields: &[Described], vectors: bool, scalars: bool) -> Result<(), Error> {
        let mut bags = fields.iter().filter(|field| field.bag).peekable();
        if bags.peek().is_none() {
            return Ok(());
        }
        // Row 0 is what stands in the rest of a sequence.
        if let Some(index) = self.optional::<u64>("padding_index")?.filter(|&index| index != 0) {
            return Err(self.error("padding_index", format!("is {index}, but bags are padded with 0")));
        }
        let poolings: BTreeMap<String, Pooling> = self.required("bags", "a field of type `bag`")?;
        for Described { name, .. } in bags {
            let Some(pooling) = poolings.get(name) else {
                return Err(self.error("bags", format!("lacks `{name}`, which is a bag")));
            };
            for (what, is_read, words) in [
                ("embedding_pooling", vectors, &pooling.embedding_pooling),
                ("linear_pooling", scalars, &pooling.linear_pooling),
            ] {
                let words = words.as_deref().unwrap_or_default();
                match words.split_whitespace().next().unwrap_or_default() {
                    _ if !is_read => {}
                    "sum" => {}
                    "mean" => {
                        let message = format!(
                            "{what} of `{name}` is a mean, but a packed file sums the vectors and scalars of a bag; \
                             its weights of 1 / n would be rounded"
                        );
                        return Err(self.error("bags", message));
                    }
                    _ => {
                        let message = format!("{what} of `{name}` is `{words}`; a packed file has sums alone");
                        return Err(self.error("bags", message));
                    }
                }
            }
        }
        Ok(())
    }

    /// Numbers of a vector, the same for all fields.
    pub(super) fn embed_dim(&self) -> Result<usize, Error> {
        self.ranged("embed_dim", self.required("embed_dim", "every model but lr")?)
    }

    /// Numbers of each field's vector: one number for all, or a list.
    pub(super) fn embed_dims(&self, fields: usize) -> Result<Vec<usize>, Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum OneOrEach {
            One(usize),
            Each(Vec<usize>),
        }
        match self.required("embed_dim", "every model but lr")? {
            OneOrEach::One(all) => Ok(vec![self.ranged("embed_dim", all)?; fields]),
            OneOrEach::Each(each) => {
                self.counted("embed_dim", each.len(), fields)?;
                each.into_iter().map(|dim| self.ranged("embed_dim", dim)).collect()
            }
        }
    }

    fn ranged(&self, key: &str, dim: usize) -> Result<usize, Error> {
        in_range(key, dim, limit::EMBED_DIM).map_err(|message| self.error(key, message))?;
        Ok(dim)
    }

    /// Whether `offsets` are where each field begins in a table of all; a bag has a table of its own, and `null` here.
    pub(super) fn offsets_agree(&self, key: &str, fields: &[Described]) -> Result<(), Error> {
        let Some(offsets) = self.optional::<Vec<Option<u64>>>(key)? else { return Ok(()) };
        self.counted(key, offsets.len(), fields.len())?;
        let mut first = 0;
        for (f, (offset, field)) in offsets.into_iter().zip(fields).enumerate() {
            let expected = (!field.bag).then_some(first);
            if offset != expected {
                let word = |offset: Option<u64>| offset.map_or("null".to_owned(), |offset| offset.to_string());
                let (found, ours) = (word(offset), word(expected));
                let message = format!("field {f} begins at {found}, but `field_dims` before it add up to {ours}");
                return Err(self.error(key, message));
            }
            first += expected.map_or(0, |_| u64::from(field.features));
        }
        Ok(())
    }

    /// Widths of the hidden layers, by `mlp_dims` or `hidden`; none where the class, `what`, has no layers.
    pub(super) fn hidden(&self, has_layers: bool, what: &str) -> Result<Vec<usize>, Error> {
        let dims: Option<Vec<usize>> = self.optional("mlp_dims")?;
        let hidden: Option<Vec<usize>> = self.optional("hidden")?;
        if let (Some(dims), Some(hidden)) = (&dims, &hidden)
            && dims != hidden
        {
            return Err(self.error("hidden", format!("is {hidden:?}, but `mlp_dims` is {dims:?}")));
        }
        let key = if dims.is_some() || hidden.is_none() { "mlp_dims" } else { "hidden" };
        let widths = dims.or(hidden);
        if !has_layers {
            return match widths {
                Some(widths) if !widths.is_empty() => {
                    Err(self.error(key, format!("is {widths:?}, but {what} has no hidden layers")))
                }
                _ => Ok(Vec::new()),
            };
        }
        let Some(widths) = widths else {
            return Err(self.error("mlp_dims", "is missing, and so is `hidden`; a model with layers needs it"));
        };
        for (n, &width) in widths.iter().enumerate() {
            in_range(&format!("width of hidden layer {n}"), width, limit::LAYER_INPUTS)
                .map_err(|message| self.error(key, message))?;
        }
        if !widths.is_empty() {
            self.activation_is_relu()?;
        }
        Ok(widths)
    }

    fn activation_is_relu(&self) -> Result<(), Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum OneOrEach {
            One(String),
            Each(Vec<String>),
        }
        let all = match self.optional("activation")? {
            None => Vec::new(),
            Some(OneOrEach::One(one)) => vec![one],
            Some(OneOrEach::Each(each)) => each,
        };
        match all.iter().find(|name| !name.eq_ignore_ascii_case("relu")) {
            None => Ok(()),
            Some(other) => {
                Err(self.error("activation", format!("is `{other}`, but hidden layers of a packed file have `relu`")))
            }
        }
    }

    /// What keeps the root of a variance from 0.
    pub(super) fn epsilon(&self) -> Result<f64, Error> {
        let epsilon = self.optional("bn_eps")?.unwrap_or(BATCH_NORM_EPSILON);
        if epsilon > 0.0 {
            return Ok(epsilon);
        }
        Err(self.error("bn_eps", format!("is {epsilon}, but BatchNorm needs a positive number")))
    }

    /// The order in which the first layer reads the fields, by `mlp_input_order`, or else the library's own.
    pub(super) fn input_order(&self, fields: &[Described], own: Vec<usize>) -> Result<Vec<usize>, Error> {
        let Some(names) = self.optional::<Vec<String>>("mlp_input_order")? else { return Ok(own) };
        self.counted("mlp_input_order", names.len(), fields.len())?;
        let order: Vec<usize> =
            names.iter().filter_map(|name| fields.iter().position(|field| field.name == *name)).collect();
        let distinct: BTreeSet<&usize> = order.iter().collect();
        if distinct.len() != fields.len() {
            return Err(self.error("mlp_input_order", "does not have each of `field_names` once"));
        }
        Ok(order)
    }

    /// What a constructor was given, where `options` has it; 0 and 1 are words for no and yes.
    pub(super) fn option<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        let options: Option<BTreeMap<String, serde_json::Value>> = self.optional("options")?;
        let Some(value) = options.and_then(|mut options| options.remove(name)).filter(|v| !v.is_null()) else {
            return Ok(None);
        };
        T::deserialize(&value).map(Some).map_err(|error| self.error("options", format!("`{name}`: {error}")))
    }

    /// The same of a switch, which Python may give as 0 or 1.
    pub(super) fn switch(&self, name: &str) -> Result<Option<bool>, Error> {
        Ok(match self.option::<serde_json::Value>(name)? {
            None => None,
            Some(serde_json::Value::Bool(on)) => Some(on),
            Some(value) => match value.as_u64() {
                Some(0) => Some(false),
                Some(1) => Some(true),
                _ => return Err(self.error("options", format!("`{name}` is {value}, a switch is true or false"))),
            },
        })
    }

    /// The numbers that `forward` adds beside the layers' own: all that the class can have, or those of `bias_tensors`.
    pub(super) fn biases(&self, possible: &'static [&'static str]) -> Result<Vec<&'static str>, Error> {
        let Some(said) = self.optional::<BTreeSet<String>>("bias_tensors")? else { return Ok(possible.to_vec()) };
        match said.iter().find(|name| !possible.contains(&name.as_str())) {
            None => Ok(possible.iter().copied().filter(|&name| said.contains(name)).collect()),
            Some(other) => {
                let message = format!("names `{other}`, but this class can have [{}]", possible.join(", "));
                Err(self.error("bias_tensors", message))
            }
        }
    }

    /// Whether a list of tensors is what is done with them, where the exporter gives it. Counters of batches are of no
    /// influence anywhere, and may be left out.
    pub(super) fn names_agree(&self, key: &str, ours: &[String], what: &str) -> Result<(), Error> {
        let Some(said) = self.optional::<BTreeSet<String>>(key)? else { return Ok(()) };
        let counts = |name: &&String| !name.ends_with(".num_batches_tracked");
        if said.iter().filter(counts).eq(ours.iter().filter(counts).collect::<BTreeSet<_>>()) {
            return Ok(());
        }
        let said: Vec<&str> = said.iter().map(String::as_str).collect();
        Err(self.error(key, format!("names [{}], but {what} has [{}]", said.join(", "), ours.join(", "))))
    }

    /// Whether the first word of a key is one of `ours`, where the key is there.
    pub(super) fn word_agrees(&self, key: &str, ours: &[&str]) -> Result<(), Error> {
        let Some(said) = self.optional::<String>(key)? else { return Ok(()) };
        let word = said.split([' ', ',']).next().unwrap_or_default();
        if ours.iter().any(|ours| ours.eq_ignore_ascii_case(word)) {
            return Ok(());
        }
        Err(self.error(key, format!("is `{said}`, but this class has {}", ours.join(" or "))))
    }

    /// The first-order term, one of `possible`: by `linear`, or the first of them.
    pub(super) fn first_order(&self, possible: &[First]) -> Result<First, Error> {
        let Some(text) = self.optional::<String>("linear")? else {
            return Ok(possible.first().copied().unwrap_or(First::None));
        };
        First::parse(&text).filter(|kind| possible.contains(kind)).ok_or_else(|| {
            let words: Vec<&str> = possible.iter().map(|kind| kind.word()).collect();
            self.error("linear", format!("`{text}` is not one of this class's: {}", words.join(", ")))
        })
    }
}
