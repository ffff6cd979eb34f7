//! Which files of a crate use which.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::tokens::tokens;

/// The words between the `::` of a path.
type Segments = Vec<String>;

/// What a file says of others.
#[derive(Default)]
struct File {
    /// Modules that lie in files of their own.
    children: Vec<String>,
    imports: Vec<Import>,
    /// Paths beside the imports.
    paths: Vec<Segments>,
    /// Words beside the imports.
    words: BTreeSet<String>,
}

/// One name that a `use` gives.
struct Import {
    name: String,
    path: Segments,
    is_public: bool,
}

impl File {
    fn read(source: &str) -> Self {
        let tokens = tokens(source);
        let mut file = File::default();
        // The depths of the braces around the inline modules that are open.
        let (mut depth, mut inline, mut at) = (0, Vec::new(), 0);
        while let Some(token) = tokens.get(at) {
            let is = |ahead: usize, sign: &str| tokens.get(at + ahead).is_some_and(|token| token == sign);
            let before = at.checked_sub(1).map_or("", |before| &tokens[before]);
            match token.as_str() {
                "mod" if is(2, ";") && inline.is_empty() => file.children.push(tokens[at + 1].clone()),
                "mod" if is(2, "{") => inline.push(depth),
                // Not the bounds of a type, `use<'a>`.
                "use" if !is(1, "<") => {
                    let end = at + tokens[at..].iter().position(|token| token == ";").unwrap_or(0);
                    let is_public = before == "pub" || before == ")";
                    for (path, name) in leaves(&tokens[at + 1..end]) {
                        file.imports.push(Import { name, path: outside(path, inline.len()), is_public });
                    }
                    at = end;
                }
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    inline.pop_if(|around| *around == depth);
                }
                word if is_word(word) && before != "::" && before != "." => {
                    let mut path = vec![token.clone()];
                    while is(2 * path.len() - 1, "::")
                        && tokens.get(at + 2 * path.len()).is_some_and(|next| is_word(next))
                    {
                        path.push(tokens[at + 2 * path.len()].clone());
                    }
                    file.words.insert(token.clone());
                    if path.len() > 1 {
                        file.paths.push(outside(path, inline.len()));
                    }
                }
                _ => (),
            }
            at += 1;
        }
        file
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// A path within `inline` inline modules, as the file itself would say it.
fn outside(path: Segments, inline: usize) -> Segments {
    let within = path.iter().take(inline).take_while(|segment| *segment == "super").count();
    if within == 0 { path } else { [&["self".to_owned()], &path[within..]].concat() }
}

/// The paths of a tree of `use`, and the names that they give.
fn leaves(tree: &[String]) -> Vec<(Segments, String)> {
    let Some(open) = tree.iter().position(|token| token == "{") else {
        let (path, name) = match tree.iter().position(|token| token == "as") {
            Some(at) => (&tree[..at], tree.last()),
            None => (tree, tree.iter().rfind(|token| *token != "self")),
        };
        let path: Segments = path.iter().filter(|token| *token != "::").cloned().collect();
        let is_itself = path.len() > 1 && path.last().is_some_and(|last| last == "self");
        let path = if is_itself { path[..path.len() - 1].to_vec() } else { path };
        return name.map(|name| (path, name.clone())).into_iter().filter(|(path, _)| !path.is_empty()).collect();
    };
    let prefix = &tree[..open];
    let (mut found, mut depth, mut start) = (Vec::new(), 0, open + 1);
    for (at, token) in tree.iter().enumerate().skip(open) {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => (),
        }
        if (token == "," && depth == 1) || depth == 0 {
            found.extend(leaves(&[prefix, &tree[start..at]].concat()).into_iter().filter(|_| start < at));
            start = at + 1;
        }
    }
    found
}

/// A root file and those that it names, by their modules.
pub(crate) struct Crate {
    files: BTreeMap<Segments, (PathBuf, File)>,
}

impl Crate {
    /// The crates that these sources make.
    pub(crate) fn all(sources: &[PathBuf]) -> Vec<Self> {
        let read = |path: &PathBuf| File::read(&fs::read_to_string(path).expect("a source"));
        let children = |path: &PathBuf| places(path, &read(path)).into_iter().map(|(_, place)| place);
        let named: BTreeSet<_> = sources.iter().flat_map(children).collect();
        let roots = sources.iter().filter(|path| !named.contains(*path));
        let of_root = |root: &PathBuf| {
            let (mut files, mut left) = (BTreeMap::new(), vec![(Segments::new(), root.clone())]);
            while let Some((module, path)) = left.pop() {
                let file = read(&path);
                left.extend(
                    places(&path, &file).into_iter().map(|(child, place)| ([&module[..], &[child]].concat(), place)),
                );
                files.insert(module, (path, file));
            }
            Crate { files }
        };
        roots.map(of_root).collect()
    }

    /// The module whose file defines what a path in `module` names; `None` where another crate does.
    fn definition(&self, module: &[String], path: &[String], imports: usize) -> Option<&Segments> {
        let (first, rest) = path.split_first()?;
        let (mut from, mut path) = match first.as_str() {
            "crate" => (&[][..], rest),
            "self" => (module, rest),
            "super" => (module.split_last()?.1, rest),
            name => {
                let imports = &self.files.get(module)?.1.imports;
                let is_known = self.child(module, name).is_some() || imports.iter().any(|import| import.name == name);
                (is_known.then_some(module)?, path)
            }
        };
        while path.first().is_some_and(|first| first == "super") {
            (from, path) = (from.split_last()?.1, &path[1..]);
        }
        let mut at = self.files.get_key_value(from)?.0;
        while let Some(child) = path.first().and_then(|name| self.child(at, name)) {
            (at, path) = (child, &path[1..]);
        }
        let imports_there = &self.files[at].1.imports;
        let import = path.first().and_then(|name| imports_there.iter().find(|import| import.name == *name));
        match import {
            Some(_) if imports == 0 => None,
            Some(import) => self.definition(at, &[&import.path, &path[1..]].concat(), imports - 1),
            None => Some(at),
        }
    }

    fn child(&self, module: &[String], name: &str) -> Option<&Segments> {
        let child = [module, &[name.to_owned()]].concat();
        self.files.get_key_value(&child).map(|(child, _)| child)
    }

    /// What each file uses.
    fn uses(&self) -> BTreeMap<&Path, BTreeSet<&Path>> {
        /// Imports of imports that are followed, at most.
        const MOST: usize = 8;
        let of_file = |(module, (from, file)): (&Segments, &(PathBuf, File))| {
            let own = file.imports.iter().filter(|import| !import.is_public || file.words.contains(&import.name));
            let paths = own.map(|import| &import.path).chain(&file.paths);
            let defined = paths.filter_map(|path| self.definition(module, path, MOST)).map(|to| &*self.files[to].0);
            defined.filter(|to| to != from).collect()
        };
        self.files.iter().map(|entry| (&*entry.1.0, of_file(entry))).collect()
    }

    /// A line for each set of files that lie on circles together.
    pub(crate) fn circles(&self) -> BTreeSet<String> {
        let uses = self.uses();
        let mut reached = uses.clone();
        for from in reached.values_mut() {
            let mut left = Vec::from_iter(from.iter().copied());
            while let Some(file) = left.pop() {
                left.extend(uses[file].iter().filter(|to| from.insert(**to)));
            }
        }
        let with = |file: &Path| {
            let others = reached[file].iter().filter(|other| reached[**other].contains(file));
            Vec::from_iter(others.map(|path| path.display().to_string())).join(" <-> ")
        };
        uses.keys().filter(|file| reached[**file].contains(**file)).map(|file| with(file)).collect()
    }
}

/// Where the modules of a file lie.
fn places(path: &Path, file: &File) -> Vec<(String, PathBuf)> {
    let folder = path.parent().unwrap_or(path);
    let place = |child: &String| {
        let of = |folder: &Path| [folder.join(format!("{child}.rs")), folder.join(child).join("mod.rs")];
        let places = of(&path.with_extension("")).into_iter().chain(of(folder));
        places.into_iter().find(|place| place.is_file()).map(|place| (child.clone(), place))
    };
    file.children.iter().filter_map(place).collect()
}
