//! The order of the modules: each may use those above it in `src/lib.rs`, never those below, and no two files of a module
//! use each other, not even through others. Every file belongs to a module.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The path of a module: `["config", "read"]` is `src/config/read.rs`; empty for `src/lib.rs`.
type ModulePath = Vec<String>;

/// The source files by the module that each of them is. Tests and comments are left out.
fn sources() -> BTreeMap<ModulePath, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut modules = BTreeMap::new();
    for file in rust_files(&source) {
        let path = file.strip_prefix(&source).unwrap().with_extension("");
        let path: ModulePath = path.iter().map(|name| name.to_string_lossy().into_owned()).collect();
        let text = fs::read_to_string(&file).unwrap();
        match path.last().unwrap().as_str() {
            "main" | "tests" | "test_support" => {}
            "lib" => drop(modules.insert(Vec::new(), code(&text))),
            _ => drop(modules.insert(path, code(&text))),
        }
    }
    modules
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// A file without comments, and without the tests at its end.
fn code(text: &str) -> String {
    let mut lines = Vec::new();
    let mut all = text.lines().peekable();
    while let Some(line) = all.next() {
        let is_test_module =
            line == "#[cfg(test)]" && all.peek().is_some_and(|next| next.starts_with("mod "));
        match all.peek() {
            Some(next) if is_test_module && next.ends_with('{') => break,
            Some(_) if is_test_module => drop(all.next()),
            Some(_) | None if !line.trim_start().starts_with("//") => lines.push(line),
            Some(_) | None => {}
        }
    }
    lines.join("\n")
}

/// The names of the modules that a file declares.
fn declared(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let (visibility, name) = line.strip_suffix(';')?.split_once("mod ")?;
        let is_declaration =
            visibility.is_empty() || visibility.starts_with("pub") && visibility.ends_with(' ');
        is_declaration.then_some(name)
    })
}

/// Splits code into names, `::`, and single characters.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let length = match rest.find(|c| !is_name(c)).unwrap_or(rest.len()) {
            0 if rest.starts_with("::") => 2,
            0 => first.len_utf8(),
            length => length,
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}

/// A path in code, such as `super::names::check`, and the name that `use` gives to its end.
struct CodePath<'a> {
    parts: Vec<&'a str>,
    name: &'a str,
    is_import: bool,
}

/// The paths of a file that begin with `crate`, `self` or `super`, and all paths that it imports.
fn paths(code: &str) -> Vec<CodePath<'_>> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        let is_import = tokens[index] == "use";
        if is_import {
            index += 1;
        }
        let is_start =
            matches!(tokens[index], "crate" | "self" | "super") && tokens.get(index + 1) == Some(&"::");
        if is_import || is_start {
            let known = found.len();
            path_tree(&tokens, &mut index, &[], &mut found);
            found[known..].iter_mut().for_each(|path| path.is_import = is_import);
        } else {
            index += 1;
        }
    }
    found
}

/// Reads `a::b`, `a::b as c` or `a::{b, c::d}` from `tokens[*index..]`, below the path `above`.
fn path_tree<'a>(tokens: &[&'a str], index: &mut usize, above: &[&'a str], found: &mut Vec<CodePath<'a>>) {
    let mut parts = above.to_vec();
    loop {
        match tokens.get(*index) {
            Some(&"{") => {
                while !matches!(tokens.get(*index), None | Some(&"}")) {
                    *index += 1;
                    path_tree(tokens, index, &parts, found);
                }
                *index += 1;
                return;
            }
            Some(name) if name.starts_with(|c: char| c.is_alphabetic() || c == '_') => parts.push(name),
            Some(_) | None => break,
        }
        *index += 1;
        if tokens.get(*index) != Some(&"::") {
            break;
        }
        *index += 1;
    }
    if parts.last() == Some(&"self") && parts.len() > above.len() && !above.is_empty() {
        parts.pop();
    }
    let Some(mut name) = parts.last().copied() else { return };
    if tokens.get(*index) == Some(&"as") {
        name = tokens[*index + 1];
        *index += 2;
    }
    if parts.len() > above.len() || !above.is_empty() {
        found.push(CodePath { parts, name, is_import: false });
    }
}

/// Resolves paths to the modules in which the items are defined.
struct Resolver {
    modules: BTreeSet<ModulePath>,
    /// What each name that a module imports stands for, as an absolute path.
    imports: BTreeMap<(ModulePath, String), Vec<String>>,
}

impl Resolver {
    fn new(sources: &BTreeMap<ModulePath, String>) -> Self {
        let mut resolver = Self { modules: sources.keys().cloned().collect(), imports: BTreeMap::new() };
        for (module, code) in sources {
            for path in paths(code).into_iter().filter(|path| path.is_import) {
                if let Some(absolute) = resolver.absolute(module, &path.parts) {
                    resolver.imports.insert((module.clone(), path.name.to_owned()), absolute);
                }
            }
        }
        resolver
    }

    /// The path from the root of the crate; `None` if it leads into another crate.
    fn absolute(&self, module: &ModulePath, parts: &[&str]) -> Option<Vec<String>> {
        let mut base = module.clone();
        let mut rest = parts;
        match rest {
            ["crate", ..] => base.clear(),
            ["self" | "super", ..] => {}
            [first, ..] if self.modules.contains(&[&base[..], &[(*first).to_owned()]].concat()) => {}
            _ => return None,
        }
        while let ["crate" | "self" | "super", inner @ ..] = rest {
            if rest[0] == "super" {
                base.pop();
            }
            rest = inner;
        }
        base.extend(rest.iter().map(|part| (*part).to_owned()));
        Some(base)
    }

    /// The module that defines the item at an absolute path, found through modules that only re-export it.
    fn module_of(&self, path: &[String], depth: usize) -> ModulePath {
        let mut module = ModulePath::new();
        for (index, part) in path.iter().enumerate() {
            let inner = [&module[..], std::slice::from_ref(part)].concat();
            if self.modules.contains(&inner) {
                module = inner;
                continue;
            }
            return match self.imports.get(&(module.clone(), part.clone())) {
                Some(target) if depth > 0 && *target != path[..=index] => {
                    self.module_of(&[&target[..], &path[index + 1..]].concat(), depth - 1)
                }
                Some(_) | None => module,
            };
        }
        module
    }
}

/// For every module, which of its children use which others, directly or in their own children.
fn uses_between_siblings(
    sources: &BTreeMap<ModulePath, String>,
) -> BTreeMap<ModulePath, BTreeMap<String, BTreeSet<String>>> {
    let resolver = Resolver::new(sources);
    let mut uses: BTreeMap<ModulePath, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (module, code) in sources {
        for path in paths(code) {
            let Some(absolute) = resolver.absolute(module, &path.parts) else { continue };
            let used = resolver.module_of(&absolute, 8);
            let common = module.iter().zip(&used).take_while(|(own, other)| own == other).count();
            if let (Some(own), Some(other)) = (module.get(common), used.get(common)) {
                let siblings = uses.entry(module[..common].to_vec()).or_default();
                siblings.entry(own.clone()).or_default().insert(other.clone());
            }
        }
    }
    uses
}

/// A circle of uses that leads from the last name of `way` back to one in `way`.
fn circle(uses: &BTreeMap<String, BTreeSet<String>>, way: &mut Vec<String>) -> Option<String> {
    for next in uses.get(way.last()?).into_iter().flatten() {
        if let Some(start) = way.iter().position(|name| name == next) {
            return Some([&way[start..], std::slice::from_ref(next)].concat().join(" → "));
        }
        way.push(next.clone());
        if let Some(found) = circle(uses, way) {
            return Some(found);
        }
        way.pop();
    }
    None
}

#[test]
fn no_module_uses_one_below_it() {
    let sources = sources();
    let order: Vec<&str> = declared(&sources[&ModulePath::new()]).collect();
    let place = |name: &str| order.iter().position(|module| *module == name);
    let basics = place("units").expect("units is a basic module");
    let uses = &uses_between_siblings(&sources)[&ModulePath::new()];
    for (module, used) in uses {
        for used in used {
            let used_place = place(used);
            let allowed = used_place <= place(module) || used_place <= Some(basics);
            assert!(allowed, "{module} uses {used}, which stands below it in src/lib.rs");
        }
    }
    let count: usize = uses.values().map(BTreeSet::len).sum();
    assert!(count > 100, "only {count} uses found: the test no longer reads what it should");
}

#[test]
fn no_files_of_a_module_use_each_other_in_a_circle() {
    let uses = uses_between_siblings(&sources());
    let mut circles = Vec::new();
    for (module, siblings) in &uses {
        for start in siblings.keys() {
            if let Some(found) = circle(siblings, &mut vec![start.clone()]) {
                circles.push(format!("src/{}: {found}", module.join("/")));
                break;
            }
        }
    }
    assert!(circles.is_empty(), "{}", circles.join("\n"));
    let count: usize = uses.values().flat_map(BTreeMap::values).map(BTreeSet::len).sum();
    assert!(count > 300, "only {count} uses found: the test no longer reads what it should");
}

#[test]
fn every_file_is_declared_as_a_module() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut checked = 0;
    for file in rust_files(&source) {
        let below = file.strip_prefix(&source).unwrap();
        let name = below.file_stem().unwrap().to_string_lossy();
        let parent = below.parent().unwrap();
        let parent = match parent.to_str() {
            Some("") if name == "lib" || name == "main" => continue,
            Some("") => source.join("lib.rs"),
            _ => source.join(parent).with_extension("rs"),
        };
        let text = fs::read_to_string(&parent).unwrap();
        let is_declared = declared(&text).any(|module| module == name);
        assert!(
            is_declared,
            "src/{} is not compiled: {} lacks `mod {name};`",
            below.display(),
            parent.display()
        );
        checked += 1;
    }
    assert!(checked > 200, "only {checked} files found: the test no longer reads what it should");
}
