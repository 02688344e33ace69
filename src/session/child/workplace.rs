//! Where a child works: in the folders of its parent, or in a tree of its own. It makes no tree.

use std::path::PathBuf;
use std::sync::Arc;

use super::Parent;
use crate::context::{self, Instructions};
use crate::store::Opened;
use crate::tasks::worktree::Tree;
use crate::tools::permission::Policy;
use crate::tools::roots::Roots;
use crate::turn::Environment;

pub(super) struct Workplace {
    pub(super) roots: Arc<Roots>,
    pub(super) policy: Arc<Policy>,
    pub(super) tree: Option<Tree>,
}

impl Workplace {
    /// `environment` is the parent's. What of its folders is not in the tree's repository the child does not have.
    pub(super) fn new(environment: &Environment, tree: Option<Tree>) -> Self {
        let Environment { roots, policy, .. } = environment;
        let Some(tree) = tree else {
            return Self { roots: roots.clone(), policy: policy.clone(), tree: None };
        };
        let additional: Vec<PathBuf> =
            roots.all().iter().skip(1).filter_map(|root| tree.maps(root)).collect();
        // What is refused in the user's files is refused in their copies.
        let repository = roots.all().first().and_then(|cwd| {
            let above = cwd.ancestors().map_while(|above| Some((above, tree.maps(above)?)));
            above.last()
        });
        let policy = match repository {
            Some((folder, copy)) => Arc::new(policy.also_for_copy(folder, &copy)),
            None => policy.clone(),
        };
        let roots = Arc::new(Roots::new(tree.cwd().to_owned(), &additional));
        Self { roots, policy, tree: Some(tree) }
    }

    /// The system prompt of who works here. Reads files.
    pub(super) async fn system(&self, configured: Option<String>, delegates: bool) -> Arc<str> {
        let roots = self.roots.clone();
        let read =
            tokio::task::spawn_blocking(move || Instructions::read(&roots, configured.as_deref()));
        let instructions = read.await.unwrap_or_default();
        let branch = self.tree.as_ref().map(Tree::branch);
        context::subagent_prompt(&self.roots, &instructions, (delegates, branch)).into()
    }

    pub(super) fn opened(&self, parent: &Parent) -> Opened {
        Opened {
            cwd: self.roots.cwd().to_owned(),
            additional: self.roots.all().iter().skip(1).cloned().collect(),
            version: parent.version.to_owned(),
            forked_from: None,
            parent: Some(parent.id.clone()),
        }
    }
}
