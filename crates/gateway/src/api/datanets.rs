//! Datanets, their records, uploads and snapshots.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::scalar::{Account, Amount, AnyObject, Hash, HexBytes};

/// Licence terms; the registry holds their hash.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LicenceTerms {
    /// Whether models may be sold.
    pub commercial_use: bool,
    /// Whether models may be built on.
    pub derivatives: bool,
    /// Whether contributors must be named.
    pub attribution: bool,
    /// Least share of the fees that goes to the data, in basis points.
    #[serde(default)]
    pub revenue_floor_bps: u16,
    /// Until when the licence holds, in Unix seconds; 0 for ever.
    #[serde(default)]
    pub expiry: u64,
    /// Where the full text is.
    #[serde(default)]
    pub uri: String,
}

/// A Datanet that was created on chain and is to be filled here.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterDatanet {
    /// Its number on chain.
    pub id: u64,
    /// The terms whose hash is on chain.
    pub terms: LicenceTerms,
}

/// A Datanet with what became of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Datanet {
    /// Its number on chain.
    pub id: u64,
    /// Its owner on chain.
    pub owner: Account,
    /// Its name; what its owner wrote, so nothing to be trusted.
    pub name: String,
    /// Hash of the licence terms, as on chain.
    pub licence_hash: Hash,
    /// The licence terms.
    pub terms: LicenceTerms,
    /// Similarity from which a record counts as a copy, in thousandths.
    pub similarity_per_mille: u16,
    /// Records in batches that were prepared for it.
    pub records_offered: u64,
    /// Records that train and earn.
    pub records_accepted: u64,
    /// Accounts with at least one record.
    pub contributors: u64,
    /// Snapshots taken.
    pub snapshots: u64,
    /// Published models trained on it.
    pub models: u64,
    /// What its contributors were paid for it by all receipts so far.
    pub income_wei: Amount,
}

/// One Datanet.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DatanetDetail {
    /// What listings show.
    #[serde(flatten)]
    pub datanet: Datanet,
    /// Why records do not earn.
    pub rejections: Vec<ReasonCount>,
    /// Names of the published models trained on it.
    pub model_names: Vec<String>,
}

/// How many records share a reason.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReasonCount {
    /// The reason.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// Someone who contributed to a Datanet.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Contributor {
    /// The account.
    pub address: Account,
    /// Records in its batches.
    pub offered: u64,
    /// Records that train and earn.
    pub accepted: u64,
    /// Accepted of offered, in thousandths.
    pub acceptance_per_mille: u16,
    /// What it was paid for this Datanet by all receipts so far.
    pub earned_wei: Amount,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordStatus {
    /// Its batch is not accepted yet.
    Pending,
    /// Trains and earns.
    Accepted,
    /// An earlier record says the same.
    Duplicate,
    /// Taken back by its contributor: not in later snapshots.
    Revoked,
}

/// What a record is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// `{"text"}`.
    Text,
    /// `{"prompt","response"}`.
    Prompt,
    /// `{"messages"}`.
    Messages,
    /// `{"media","text"}`.
    Media,
}

/// A record.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Record {
    /// Its salted hash.
    pub hash: Hash,
    /// Its Datanet.
    pub datanet: u64,
    /// Commitment of its batch.
    pub commitment: Hash,
    /// Its position in the batch, from 0.
    pub index: u64,
    /// Who contributed it.
    pub contributor: Account,
    /// What became of it.
    pub status: RecordStatus,
    /// Why it does not earn, in words; null where it does.
    #[schema(required)]
    pub reason: Option<String>,
    /// Its cluster of near-duplicates, once decided.
    #[schema(required)]
    pub cluster: Option<u64>,
    /// What it is made of.
    pub kind: RecordKind,
    /// The record itself: text of its contributor, so nothing to be trusted.
    pub body: AnyObject,
    /// How much of its contributor's payouts it brought: each payout divided over the records that earned it.
    /// For information; what is paid is paid by contributor.
    pub earned_wei: Amount,
}

/// One record with its proof.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RecordDetail {
    /// What listings show.
    #[serde(flatten)]
    pub record: Record,
    /// Salt of its hash: keccak256 of salt and canonical content. Null for a record that was taken back.
    #[schema(required)]
    pub salt: Option<Hash>,
    /// The snapshots that hold it.
    pub snapshots: Vec<RecordSnapshot>,
}

/// A record's place in a snapshot.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RecordSnapshot {
    /// The snapshot's number in the Datanet.
    pub snapshot: u64,
    /// Its root.
    pub root: Hash,
    /// The record's position in it, from 0.
    pub index: u64,
    /// Leaf data that the proof is of: index, record hash, contributor and cluster, packed as in Solidity.
    pub leaf: HexBytes,
    /// Proof under the root; of the latest snapshot that holds the record.
    #[schema(required)]
    pub proof: Option<MerkleProof>,
}

/// Shows that a leaf stands at `index` in a tree of `size` leaves.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MerkleProof {
    /// Position of the leaf, from 0.
    pub index: u64,
    /// Leaves of the tree.
    pub size: u64,
    /// Sibling hashes, from the leaf upwards.
    pub siblings: Vec<Hash>,
}

/// A record in an account's own listing.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AccountRecord {
    /// The record.
    #[serde(flatten)]
    pub record: Record,
    /// Why it has never earned, in words; null where it has.
    #[schema(required)]
    pub never_earned: Option<String>,
}

/// Columns of a Datanet's records.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ColumnList {
    /// The columns.
    pub data: Vec<Column>,
    /// Records counted.
    pub records: u64,
    /// Records in all; above `records` where the Datanet is too large to count whole.
    pub records_total: u64,
}

/// Whether a column is counted in ranges or by value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// Ranges of numbers, such as lengths of texts.
    Number,
    /// Values.
    Category,
}

/// A column with how its values are distributed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// How it is counted.
    pub kind: ColumnKind,
    /// Ranges, for numbers.
    pub bins: Vec<Bin>,
    /// The most frequent values, for categories.
    pub values: Vec<ValueCount>,
    /// Distinct values.
    pub distinct: u64,
}

/// A range of a column.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Bin {
    /// Its least value.
    pub from: u64,
    /// Its highest value.
    pub to: u64,
    /// Records in it.
    pub count: u64,
}

/// A value of a column.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ValueCount {
    /// The value.
    pub value: String,
    /// Records that have it.
    pub count: u64,
}

/// A snapshot: accepted records under one root.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Snapshot {
    /// Its number in the Datanet, from 1.
    pub snapshot: u64,
    /// Merkle root over its records.
    pub root: Hash,
    /// Records in it.
    pub record_count: u64,
    /// Contributors in it.
    pub contributor_count: u32,
    /// Hash of its content, which goes on chain with the root.
    pub content_hash: Hash,
}

/// A snapshot just taken; its root goes on chain.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TakenSnapshot {
    /// The Datanet.
    pub datanet: u64,
    /// The snapshot.
    #[serde(flatten)]
    pub snapshot: Snapshot,
}

/// A file about to be uploaded.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BeginUpload {
    /// Who uploads.
    pub contributor: Account,
    /// Name of the file; never used as a path.
    pub file_name: String,
    /// Size of the file.
    pub bytes: u64,
    /// keccak256 of the file.
    pub hash: Hash,
}

/// How far an upload has come.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Upload {
    /// Its id.
    pub id: Hash,
    /// Into which Datanet.
    pub datanet: u64,
    /// Who uploads.
    pub contributor: Account,
    /// Name of the file.
    pub file_name: String,
    /// Size of the file.
    pub bytes: u64,
    /// keccak256 of the file.
    pub hash: Hash,
    /// Bytes safely received: where to continue.
    pub received_bytes: u64,
    /// Whether all of it is there and has the declared hash.
    pub finished: bool,
}

/// A file format.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values with a header.
    Csv,
    /// Apache Parquet.
    Parquet,
    /// Plain text: one record a paragraph.
    Text,
    /// Markdown: one record a section.
    Markdown,
}

/// Which columns records are made of.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged, deny_unknown_fields)]
pub enum Mapping {
    /// Prompt and response.
    Prompt {
        /// Column of the prompt.
        prompt: String,
        /// Column of the response.
        response: String,
    },
    /// A conversation.
    Messages {
        /// Column of the list of turns.
        messages: String,
    },
    /// A media hash and its description.
    Media {
        /// Column of the hash.
        media: String,
        /// Column of the description.
        text: String,
    },
    /// Text alone.
    Text {
        /// Column of the text.
        text: String,
    },
}

/// Which upload, read how.
#[derive(Clone, Debug, ToSchema)]
pub struct PrepareBatch {
    /// The upload.
    pub upload: Hash,
    /// Its format; without it the file's name says.
    pub format: Option<FileFormat>,
    /// Which columns; without it the customary names are recognised.
    pub mapping: Option<Mapping>,
    /// True to say only what would become of the file.
    pub preview: Option<bool>,
}

/// What a file contributes.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PreparedFile {
    /// The batch to commit; absent for a preview.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub batch: Option<PreparedBatch>,
    /// What becomes of the file.
    pub preview: Preview,
}

/// A batch, and what its contributor signs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PreparedBatch {
    /// The Datanet.
    pub datanet: u64,
    /// Who contributes.
    pub contributor: Account,
    /// Root over the records.
    pub batch_root: Hash,
    /// Records.
    pub record_count: u32,
    /// Salt of the commitment.
    pub salt: Hash,
    /// What goes on chain first.
    pub commitment: Hash,
    /// Hash of the licence consented to.
    pub licence_hash: Hash,
    /// EIP-712 digest of the consent.
    pub consent_digest: Hash,
}

/// A batch and how far it has come.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Batch {
    /// What its contributor signs.
    #[serde(flatten)]
    pub batch: PreparedBatch,
    /// How far this node knows it to be; the chain may be further.
    pub state: BatchState,
    /// Its place in the order of commitments, once this node knows it.
    #[schema(required)]
    pub priority: Option<u64>,
}

/// How far a batch has come.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BatchState {
    /// Salted and stored.
    Prepared,
    /// Its commitment is on chain.
    Committed,
    /// Root and consent are on chain.
    Revealed,
    /// Its records have been decided on.
    Accepted,
}

/// What a file would contribute.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Preview {
    /// Columns of the file, in its order; empty for formats without columns.
    pub columns: Vec<String>,
    /// The mapping used; null for formats without columns.
    #[schema(required)]
    pub mapping: Option<Mapping>,
    /// What becomes of each row.
    pub report: IngestReport,
    /// The first records: text of their contributor, so nothing to be trusted.
    pub sample: Vec<AnyObject>,
    /// Rows that would not be accepted because an earlier record says the same.
    pub duplicates: Vec<LikelyDuplicate>,
}

/// What became of a file's rows.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct IngestReport {
    /// Rows read; blank lines do not count.
    pub rows: u64,
    /// Rows that became records.
    pub accepted: u64,
    /// Rows that did not.
    pub rejected: u64,
    /// The first of them.
    pub rejections: Vec<Rejection>,
}

/// One rejected row.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Rejection {
    /// Row from 1.
    pub row: u64,
    /// The column, where one is at fault.
    #[schema(required)]
    pub column: Option<String>,
    /// Why, for programs.
    pub code: String,
    /// Why, for people.
    pub reason: String,
}

/// A row that says what another record says already.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LikelyDuplicate {
    /// Row in the file, from 1.
    pub row: u64,
    /// The earlier row of the same file; null when the earlier record is in the Datanet.
    #[schema(required)]
    pub of_row: Option<u64>,
    /// Similarity in thousandths.
    pub similarity_per_mille: u16,
}

/// The contributor's consent.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevealedBatch {
    /// Signature over the consent's EIP-712 digest, as it went on chain.
    pub consent: HexBytes,
}

/// A batch that was decided on.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AcceptedBatch {
    /// Its commitment.
    pub commitment: Hash,
    /// Its place in the order of commitments.
    pub priority: u64,
    /// What became of its records.
    pub report: AcceptReport,
}

/// What became of a batch's records.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AcceptReport {
    /// Records accepted.
    pub accepted: u64,
    /// Records that were not.
    pub duplicates: Vec<Duplicate>,
}

/// A record that was not accepted because an earlier one says the same.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Duplicate {
    /// Position in the batch, from 0.
    pub position: u64,
    /// The record.
    pub record: Hash,
    /// The earlier one.
    pub of: Hash,
    /// Who contributed the earlier one.
    pub of_contributor: Account,
    /// How similar they are, in thousandths.
    pub similarity_per_mille: u16,
}
