//! Trees of files that git changes by the patches of the extension.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Contents by path.
pub type Tree = BTreeMap<String, String>;

/// A folder for git to work in, outside of any repository; dropping it deletes it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("pg_versioned-life-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("tree")).expect("a folder can be made");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn read(folder: &Path, prefix: &str, tree: &mut Tree) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = format!("{prefix}{}", path.file_name().expect("a name").to_str().expect("text"));
        if path.is_dir() {
            read(&path, &format!("{name}/"), tree);
        } else {
            tree.insert(name, fs::read_to_string(&path).expect("text"));
        }
    }
}

/// What `git apply` makes of a tree with a patch; what it says if it refuses.
pub fn apply(from: &Tree, patch: &str, context: i32) -> Result<Tree, String> {
    // git refuses a patch that is empty.
    if patch.is_empty() {
        return Ok(from.clone());
    }
    let folder = Folder::new();
    let tree = folder.0.join("tree");
    for (path, content) in from {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
        fs::write(path, content).expect("a file can be written");
    }
    fs::write(folder.0.join("patch"), patch).expect("a file can be written");
    let unidiff_zero: &[&str] = if context == 0 { &["--unidiff-zero"] } else { &[] };
    let output = Command::new("git")
        .args(["apply", "--whitespace=nowarn"])
        .args(unidiff_zero)
        .arg("../patch")
        .current_dir(&tree)
        .env("GIT_CEILING_DIRECTORIES", &folder.0)
        .output()
        .expect("git is installed");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let mut changed = Tree::new();
    read(&tree, "", &mut changed);
    Ok(changed)
}
