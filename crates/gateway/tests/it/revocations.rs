//! Records that are taken back by a transaction, and not through the node.

use openledger_primitives::merkle::MerkleTree;
use openledger_primitives::{B256, DatanetId, RecordHash};
use openledger_sdk::Contribution;
use openledger_testkit::TinySpec;
use serde_json::{Value, json};

use crate::node::{Node, start};
use crate::people::{CONTRIBUTORS, People, eventually, key};

struct Registry {
    people: People,
    datanet: DatanetId,
}

impl Registry {
    async fn get(&self, path: &str) -> Value {
        self.people.gateway.get(path).await.unwrap()
    }

    /// Status and salt as everyone is shown them.
    async fn shown(&self, record: RecordHash) -> (Value, Value) {
        let shown = self.get(&format!("v1/records/{record}")).await;
        (shown["status"].clone(), shown["salt"].clone())
    }

    async fn snapshot_records(&self) -> Value {
        let taken: Value =
            self.people.gateway.post(&format!("v1/datanets/{}/snapshots", self.datanet), &json!({})).await.unwrap();
        taken["record_count"].clone()
    }
}

#[test]
fn a_record_revoked_on_chain_alone_leaves_the_next_snapshot_and_keeps_its_salt_to_itself() {
    let node = start(TinySpec::default(), None);
    node.block_on(follow(&node));
}

async fn follow(node: &Node) {
    let people = People::connect(&node.rpc, &node.gateway).await;
    let registry = Registry { people, datanet: DatanetId(node.made.datanet) };
    let (datanet, contributor) = (registry.datanet, CONTRIBUTORS[0]);
    // A snapshot taken right after the block has heard of it.
    let first = registry.people.take_back(datanet, contributor, 2).await;
    assert_eq!(registry.snapshot_records().await, 15);
    assert_eq!(registry.shown(first).await, (json!("revoked"), json!(null)));

    // Without anybody asking for a snapshot, it is a matter of a moment.
    let second = registry.people.take_back(datanet, contributor, 5).await;
    eventually(async || (registry.shown(second).await == (json!("revoked"), json!(null))).then_some(())).await;
    assert_eq!(registry.snapshot_records().await, 14);

    let path = format!("v1/datanets/{datanet}/records?status=accepted&limit=1");
    let kept = registry.get(&path).await["data"][0]["hash"].clone();
    somebody_elses_record_stays(&registry, serde_json::from_value(kept).unwrap()).await;
    assert_eq!(registry.snapshot_records().await, 14);
}

/// Anybody can put another's record hash into a batch of their own, and take that back.
async fn somebody_elses_record_stays(registry: &Registry, record: RecordHash) {
    let thief = registry.people.builder.with_signer(key(CONTRIBUTORS[1]));
    let tree = MerkleTree::from_leaves([record.0]);
    let (root, salt) = (tree.root(), B256::repeat_byte(7));
    let contribution = Contribution { datanet: registry.datanet, batch_root: root, record_count: 1, salt };
    let datanets = thief.datanets();
    let commitment = datanets.commitment(&contribution, thief.address());
    datanets.commit(registry.datanet, commitment).await.unwrap();
    let consent = datanets.sign_consent(&contribution).await.unwrap();
    datanets.reveal(&contribution, thief.address(), consent).await.unwrap();
    datanets.revoke(registry.datanet, root, record, tree.prove(0).unwrap()).await.unwrap();
    registry.snapshot_records().await;
    let (status, salt) = registry.shown(record).await;
    assert_eq!((status, salt.is_string()), (json!("accepted"), true));
}
