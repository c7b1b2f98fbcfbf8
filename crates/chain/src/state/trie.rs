//! A Merkle-Patricia trie that loads only the nodes on the paths it changes.
//!
//! Nodes are stored by path, one value a path: `rlp(node)` for the root and for every node whose
//! encoding has at least 32 bytes; shorter ones live inside their parent. Nodes that were loaded
//! stay in memory from block to block until [`Trie::prune`].

use std::collections::BTreeMap;

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rlp::Decodable;
use alloy_trie::{
    EMPTY_ROOT_HASH, TrieMask,
    nodes::{BranchNodeRef, ExtensionNodeRef, LeafNodeRef, RlpNode, TrieNode},
};
use nybbles::Nibbles;

use crate::error::StoreError;

/// Where a trie finds its stored nodes.
pub trait NodeSource {
    /// The encoded node at `path`, if one is stored there.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    fn node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, StoreError>;
}

/// Stored nodes that change: `None` deletes.
pub type NodeChanges = BTreeMap<Nibbles, Option<Vec<u8>>>;

/// The trie. Keys all have the same length (32 hashed bytes).
#[derive(Debug, Default)]
pub struct Trie {
    root: Option<Link>,
    vacated: Vec<Nibbles>,
    loaded: usize,
}

/// A child: its hash (absent while dirty) and, once loaded, the node itself.
#[derive(Debug)]
struct Link {
    rlp: Option<RlpNode>,
    node: Option<Box<Node>>,
}

#[derive(Debug)]
enum Node {
    Leaf { key: Nibbles, value: Vec<u8> },
    Extension { key: Nibbles, child: Link },
    Branch { children: [Option<Link>; 16] },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Removal {
    NotFound,
    Emptied,
    Changed,
}

impl Trie {
    /// The stored trie with `root`; nothing is read yet.
    pub fn at_root(root: B256) -> Self {
        let link = Link { rlp: Some(RlpNode::word_rlp(&root)), node: None };
        Self { root: (root != EMPTY_ROOT_HASH).then_some(link), ..Self::default() }
    }

    /// Sets the leaf at `key`.
    ///
    /// # Errors
    /// [`StoreError`] if a node on the path is missing or damaged.
    pub fn insert(&mut self, src: &dyn NodeSource, key: Nibbles, value: Vec<u8>) -> Result<(), StoreError> {
        self.loaded += 2;
        match &mut self.root {
            Some(link) => insert_at(link, src, Nibbles::new(), key, value),
            none => {
                *none = Some(Link::dirty(Node::Leaf { key, value }));
                Ok(())
            }
        }
    }

    /// Removes the leaf at `key`; does nothing if there is none.
    ///
    /// # Errors
    /// [`StoreError`] if a node on the path is missing or damaged.
    pub fn remove(&mut self, src: &dyn NodeSource, key: Nibbles) -> Result<(), StoreError> {
        let Some(link) = &mut self.root else { return Ok(()) };
        self.loaded += 2;
        if remove_at(link, src, Nibbles::new(), key, &mut self.vacated)? == Removal::Emptied {
            self.root = None;
        }
        Ok(())
    }

    /// Hashes what changed and says which stored nodes change with it.
    pub fn commit(&mut self) -> (B256, NodeChanges) {
        let mut changes: NodeChanges = self.vacated.drain(..).map(|path| (path, None)).collect();
        let Some(link) = &mut self.root else {
            return (EMPTY_ROOT_HASH, changes);
        };
        let mut buffer = Vec::with_capacity(600);
        let rlp = hash_link(link, Nibbles::new(), &mut changes, &mut buffer);
        (root_hash(&rlp), changes)
    }

    /// Nodes loaded or made since the last prune, at least; what the memory limit is held against.
    pub fn loaded(&self) -> usize {
        self.loaded
    }

    /// Forgets loaded nodes deeper than `depth`. Call it only after [`Trie::commit`].
    pub fn prune(&mut self, depth: usize) {
        self.loaded = 0;
        if let Some(link) = &mut self.root {
            self.loaded = prune_link(link, depth);
        }
    }

    /// The encoded nodes from the root towards `key`, as `eth_getProof` wants them.
    ///
    /// # Errors
    /// [`StoreError`] if a node on the path is missing or damaged.
    pub fn prove(&mut self, src: &dyn NodeSource, key: Nibbles) -> Result<Vec<Bytes>, StoreError> {
        let mut proof = Vec::new();
        let Some(mut link) = self.root.as_mut() else { return Ok(proof) };
        let mut path = Nibbles::new();
        loop {
            let inline = !path.is_empty() && link.rlp.as_ref().is_some_and(|rlp| !rlp.is_hash());
            let node = link.load(src, &path)?;
            let mut encoded = Vec::new();
            node.encode(&mut encoded, &mut Vec::new());
            if !inline {
                proof.push(encoded.into());
            }
            let rest = key.slice(path.len()..);
            match node {
                Node::Leaf { .. } => return Ok(proof),
                Node::Extension { key: part, child } => {
                    if !rest.starts_with(part) {
                        return Ok(proof);
                    }
                    path.extend(&*part);
                    link = child;
                }
                Node::Branch { children } => {
                    let Some(nibble) = rest.first() else { return Ok(proof) };
                    let Some(child) = &mut children[usize::from(nibble)] else { return Ok(proof) };
                    path.push(nibble);
                    link = child;
                }
            }
        }
    }
}

fn root_hash(rlp: &RlpNode) -> B256 {
    rlp.as_hash().unwrap_or_else(|| keccak256(rlp.as_slice()))
}

impl Link {
    fn dirty(node: Node) -> Self {
        Self { rlp: None, node: Some(Box::new(node)) }
    }

    fn load(&mut self, src: &dyn NodeSource, path: &Nibbles) -> Result<&mut Node, StoreError> {
        if self.node.is_none() {
            self.node = Some(Box::new(load_node(self.rlp.as_ref(), src, path)?));
        }
        Ok(self.node.as_deref_mut().expect("it was loaded just above"))
    }

    fn into_loaded(mut self, src: &dyn NodeSource, path: &Nibbles) -> Result<(Option<RlpNode>, Node), StoreError> {
        self.load(src, path)?;
        let node = self.node.expect("it was loaded just above");
        Ok((self.rlp, *node))
    }
}

fn load_node(rlp: Option<&RlpNode>, src: &dyn NodeSource, path: &Nibbles) -> Result<Node, StoreError> {
    let inline = rlp.filter(|rlp| !rlp.is_hash()).map(|rlp| rlp.as_slice().to_vec());
    let bytes = match inline {
        Some(bytes) => bytes,
        None => src.node(path)?.ok_or_else(|| StoreError::Missing { what: "trie node", key: format!("{path:?}") })?,
    };
    let node = TrieNode::decode(&mut bytes.as_slice()).map_err(|_| StoreError::Damaged { what: "trie node" })?;
    Node::from_encoded(node)
}

impl Node {
    fn from_encoded(node: TrieNode) -> Result<Self, StoreError> {
        let clean = |rlp: RlpNode| Link { rlp: Some(rlp), node: None };
        Ok(match node {
            TrieNode::EmptyRoot => return Err(StoreError::Damaged { what: "trie node" }),
            TrieNode::Leaf(leaf) => Self::Leaf { key: leaf.key, value: leaf.value },
            TrieNode::Extension(ext) => Self::Extension { key: ext.key, child: clean(ext.child) },
            TrieNode::Branch(branch) => {
                let mut children: [Option<Link>; 16] = Default::default();
                let mut stack = branch.stack.into_iter();
                for nibble in 0..16u8 {
                    if branch.state_mask.is_bit_set(nibble) {
                        children[usize::from(nibble)] = stack.next().map(clean);
                    }
                }
                Self::Branch { children }
            }
        })
    }

    /// Appends the encoding; every child must be hashed.
    fn encode(&self, out: &mut Vec<u8>, stack: &mut Vec<RlpNode>) {
        use alloy_rlp::Encodable;
        match self {
            Self::Leaf { key, value } => LeafNodeRef::new(key, value).encode(out),
            Self::Extension { key, child } => {
                let child = child.rlp.as_ref().expect("children are hashed before their parent");
                ExtensionNodeRef::new(key, child.as_slice()).encode(out);
            }
            Self::Branch { children } => {
                let mut mask = TrieMask::default();
                stack.clear();
                for (nibble, child) in (0u8..).zip(children) {
                    if let Some(link) = child {
                        mask.set_bit(nibble);
                        let rlp = link.rlp.as_ref().expect("children are hashed before their parent");
                        stack.push(rlp.clone());
                    }
                }
                BranchNodeRef::new(stack, mask).encode(out);
            }
        }
    }
}

fn insert_at(
    link: &mut Link,
    src: &dyn NodeSource,
    mut path: Nibbles,
    key: Nibbles,
    value: Vec<u8>,
) -> Result<(), StoreError> {
    let node = link.load(src, &path)?;
    match node {
        Node::Leaf { key: own, value: old } if *own == key => *old = value,
        Node::Leaf { key: own, value: old } => {
            let (own, old) = (*own, std::mem::take(old));
            *node = split(own, key, value, |rest| Link::dirty(Node::Leaf { key: rest, value: old }));
        }
        Node::Extension { key: own, child } if key.starts_with(own) => {
            path.extend(&*own);
            let rest = key.slice(own.len()..);
            insert_at(child, src, path, rest, value)?;
        }
        Node::Extension { key: own, child } => {
            let own = *own;
            let child = std::mem::replace(child, Link { rlp: None, node: None });
            *node = split(own, key, value, |rest| match rest.is_empty() {
                true => child,
                false => Link::dirty(Node::Extension { key: rest, child }),
            });
        }
        Node::Branch { children } => {
            let nibble = key.get_unchecked(0);
            let rest = key.slice(1..);
            path.push(nibble);
            match &mut children[usize::from(nibble)] {
                Some(child) => insert_at(child, src, path, rest, value)?,
                none => *none = Some(Link::dirty(Node::Leaf { key: rest, value })),
            }
        }
    }
    link.rlp = None;
    Ok(())
}

/// A branch where `own` and `key` part, below an extension for what they share.
fn split(own: Nibbles, key: Nibbles, value: Vec<u8>, old: impl FnOnce(Nibbles) -> Link) -> Node {
    let shared = own.common_prefix_length(&key);
    let mut children: [Option<Link>; 16] = Default::default();
    children[usize::from(own.get_unchecked(shared))] = Some(old(own.slice(shared + 1..)));
    let leaf = Node::Leaf { key: key.slice(shared + 1..), value };
    children[usize::from(key.get_unchecked(shared))] = Some(Link::dirty(leaf));
    let branch = Node::Branch { children };
    if shared == 0 {
        return branch;
    }
    Node::Extension { key: key.slice(..shared), child: Link::dirty(branch) }
}

fn remove_at(
    link: &mut Link,
    src: &dyn NodeSource,
    path: Nibbles,
    key: Nibbles,
    vacated: &mut Vec<Nibbles>,
) -> Result<Removal, StoreError> {
    let node = link.load(src, &path)?;
    let removal = match node {
        Node::Leaf { key: own, .. } if *own == key => {
            vacated.push(path);
            Removal::Emptied
        }
        Node::Leaf { .. } => Removal::NotFound,
        Node::Extension { key: own, child } if key.starts_with(own) => {
            let below = path.join(own);
            let removal = remove_at(child, src, below, key.slice(own.len()..), vacated)?;
            if removal == Removal::Changed {
                merge_extension(node, src, below, vacated)?;
            }
            removal
        }
        Node::Extension { .. } => Removal::NotFound,
        Node::Branch { children } => {
            let nibble = key.get_unchecked(0);
            let slot = &mut children[usize::from(nibble)];
            let Some(child) = slot else { return Ok(Removal::NotFound) };
            let mut below = path;
            below.push(nibble);
            match remove_at(child, src, below, key.slice(1..), vacated)? {
                Removal::Emptied => {
                    *slot = None;
                    collapse_branch(node, src, path, vacated)?;
                    Removal::Changed
                }
                removal => removal,
            }
        }
    };
    if removal == Removal::Changed {
        link.rlp = None;
    }
    Ok(removal)
}

/// After a removal below an extension: joins it with a child that is no branch any more.
fn merge_extension(
    node: &mut Node,
    src: &dyn NodeSource,
    below: Nibbles,
    vacated: &mut Vec<Nibbles>,
) -> Result<(), StoreError> {
    let Node::Extension { key: own, child } = node else { return Ok(()) };
    if matches!(child.load(src, &below)?, Node::Branch { .. }) {
        return Ok(());
    }
    let own = *own;
    let child = std::mem::replace(child, Link { rlp: None, node: None });
    vacated.push(below);
    *node = prefixed(own, child.into_loaded(src, &below)?.1);
    Ok(())
}

/// After a removal in a branch: replaces a branch with one child by that child.
fn collapse_branch(
    node: &mut Node,
    src: &dyn NodeSource,
    path: Nibbles,
    vacated: &mut Vec<Nibbles>,
) -> Result<(), StoreError> {
    let Node::Branch { children } = node else { return Ok(()) };
    let mut left = (0u8..16).filter(|i| children[usize::from(*i)].is_some());
    let (Some(nibble), None) = (left.next(), left.next()) else { return Ok(()) };
    let only = children[usize::from(nibble)].take().expect("it was found just above");
    let mut below = path;
    below.push(nibble);
    let own = Nibbles::from_nibbles_unchecked([nibble]);
    let (rlp, child) = only.into_loaded(src, &below)?;
    *node = match child {
        Node::Branch { .. } => Node::Extension { key: own, child: Link { rlp, node: Some(Box::new(child)) } },
        other => {
            vacated.push(below);
            prefixed(own, other)
        }
    };
    Ok(())
}

fn prefixed(prefix: Nibbles, node: Node) -> Node {
    match node {
        Node::Leaf { key, value } => Node::Leaf { key: prefix.join(&key), value },
        Node::Extension { key, child } => Node::Extension { key: prefix.join(&key), child },
        branch @ Node::Branch { .. } => branch,
    }
}

fn hash_link(link: &mut Link, path: Nibbles, changes: &mut NodeChanges, buffer: &mut Vec<u8>) -> RlpNode {
    if let Some(rlp) = &link.rlp {
        return rlp.clone();
    }
    let node = link.node.as_deref_mut().expect("a node without a hash is in memory");
    match node {
        Node::Leaf { .. } => {}
        Node::Extension { key, child } => {
            hash_link(child, path.join(key), changes, buffer);
        }
        Node::Branch { children } => {
            for (nibble, child) in (0u8..).zip(children) {
                if let Some(child) = child {
                    let mut below = path;
                    below.push(nibble);
                    hash_link(child, below, changes, buffer);
                }
            }
        }
    }
    buffer.clear();
    node.encode(buffer, &mut Vec::with_capacity(16));
    let rlp = RlpNode::from_rlp(buffer);
    let stored = rlp.is_hash() || path.is_empty();
    changes.insert(path, stored.then(|| buffer.clone()));
    link.rlp = Some(rlp.clone());
    rlp
}

fn prune_link(link: &mut Link, depth: usize) -> usize {
    let Some(node) = link.node.as_deref_mut() else { return 0 };
    if depth == 0 {
        link.node = None;
        return 0;
    }
    1 + match node {
        Node::Leaf { .. } => 0,
        Node::Extension { child, .. } => prune_link(child, depth - 1),
        Node::Branch { children } => children.iter_mut().flatten().map(|child| prune_link(child, depth - 1)).sum(),
    }
}
