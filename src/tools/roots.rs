//! A session's folders, and which paths lie in them once links are resolved.
//! It reads the file system only to resolve links.

use std::path::{Component, Path, PathBuf};

/// The working folder of a session and its additional folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    cwd: PathBuf,
    /// All roots, the working folder first, links resolved.
    resolved: Vec<PathBuf>,
}

impl Roots {
    /// `cwd` and `additional` are absolute.
    pub fn new(cwd: PathBuf, additional: &[PathBuf]) -> Self {
        let resolved = std::iter::once(&cwd).chain(additional).map(|root| resolve(root)).collect();
        Self { cwd, resolved }
    }

    pub fn cwd(&self) -> &Path {
        &self.cwd
    }

    /// All roots, the working folder first, links resolved.
    pub fn all(&self) -> &[PathBuf] {
        &self.resolved
    }

    /// The absolute path that a model means by `path`, links not resolved. A relative path starts at the
    /// working folder, `~/` at the user's home.
    pub fn absolute(&self, path: &str) -> PathBuf {
        let home = path.strip_prefix("~/").and_then(|rest| Some(std::env::home_dir()?.join(rest)));
        home.unwrap_or_else(|| self.cwd.join(path))
    }

    /// Whether `path`, absolute and with links resolved, lies in a root.
    pub fn contain(&self, path: &Path) -> bool {
        self.resolved.iter().any(|root| path.starts_with(root))
    }

    /// `path` as a user likes to read it: relative to the working folder where it lies there.
    pub fn display(&self, path: &Path) -> String {
        let relative = self
            .resolved
            .first()
            .and_then(|cwd| path.strip_prefix(cwd).ok())
            .or_else(|| path.strip_prefix(&self.cwd).ok());
        match relative {
            Some(inside) if inside.as_os_str().is_empty() => ".".to_owned(),
            Some(inside) => inside.display().to_string(),
            None => path.display().to_string(),
        }
    }
}

/// Links that are followed for one path; more are a loop.
const MOST_LINKS: usize = 40;

/// `path` with `.` and `..` and links resolved. What does not exist yet is appended as it is, but a link
/// to something missing is followed too, so that nothing can hide behind it. Blocking.
pub fn resolve(path: &Path) -> PathBuf {
    let mut links = MOST_LINKS;
    resolve_from(PathBuf::new(), path, &mut links)
}

fn resolve_from(mut done: PathBuf, path: &Path, links: &mut usize) -> PathBuf {
    for component in path.components() {
        match component {
            Component::Prefix(_) | Component::RootDir => done.push(component),
            Component::CurDir => {}
            Component::ParentDir => {
                done.pop();
            }
            Component::Normal(name) => {
                let next = done.join(name);
                match next.read_link() {
                    Ok(target) if *links > 0 => {
                        *links -= 1;
                        done = resolve_from(done, &target, links);
                    }
                    Ok(_) | Err(_) => done = next,
                }
            }
        }
    }
    // The spelling of the disk, where its case or form differs from what was written.
    done.canonicalize().unwrap_or(done)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::{Roots, resolve};

    #[test]
    fn links_are_followed_also_when_they_dangle_or_loop() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let work = root.join("work");
        std::fs::create_dir(&work).unwrap();
        symlink(root.join("missing"), work.join("dangling")).unwrap();
        symlink("../outside/file", work.join("relative")).unwrap();
        symlink("loop", work.join("loop")).unwrap();
        symlink(&work, root.join("alias")).unwrap();
        let roots = Roots::new(root.join("alias"), &[]);
        let locate = |path: &str| resolve(&roots.absolute(path));
        for outside in ["dangling", "dangling/deeper", "relative", "../x", "sub/../../x"] {
            assert!(!roots.contain(&locate(outside)), "{outside}");
        }
        for inside in ["new", "new/deeper", "sub/../new", "loop", "."] {
            assert!(roots.contain(&locate(inside)), "{inside}");
        }
        assert_eq!(roots.display(&locate("new/file")), "new/file");
    }
}
