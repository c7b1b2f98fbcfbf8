use crate::people::{People, question};
use crate::prepared;

#[tokio::test(flavor = "multi_thread")]
async fn up_stops_cleanly_on_sigint() {
    let (home, _) = prepared::home().await;
    let node = home.start(&[]);
    let people = People::connect(&node).await;
    let receipt = people.till().chat(&question("Who will stop?")).await.unwrap().receipt.unwrap();
    let blocks = people.payer.block_number().await.unwrap();
    let log = node.stderr();
    let (status, last) = node.interrupt();
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(last, "stopped; everything acknowledged is on disk");

    let node = home.start(&[]);
    let people = People::connect(&node).await;
    assert!(people.payer.block_number().await.unwrap() >= blocks);
    assert_eq!(people.gateway.receipt(receipt).await.unwrap().receipt.hash(), receipt);
    people.till().chat(&question("Who goes on?")).await.unwrap();
}
