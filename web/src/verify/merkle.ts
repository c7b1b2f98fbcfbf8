/** Merkle proofs over keccak256 with the shape of RFC 9162: `leaf = H(00 ‖ data)`, `node = H(01 ‖ left ‖ right)`. */
import { type Address, concat, encodeAbiParameters, type Hex, keccak256, numberToHex } from "viem";

/** Shows that a leaf stands at `index` in a tree of `size` leaves; siblings from the leaf upwards. */
export interface Proof<Node> {
  index: number;
  size: number;
  siblings: Node[];
}

/** A node of a tree whose nodes also carry the sum below them. */
export interface SumNode {
  hash: Hex;
  sum: bigint;
}

/** Largest sum that a tree holds. */
const SUM_MAX = 2n ** 128n - 1n;
/** More siblings than a tree of 2^53 leaves has. */
const SIBLINGS_MAX = 64;

export function leafHash(data: Hex): Hex {
  return keccak256(concat(["0x00", data]));
}

function nodeHash(left: Hex, right: Hex): Hex {
  return keccak256(concat(["0x01", left, right]));
}

/** The root over hashed leaves, at least one: the largest power of two of them stand left (RFC 9162, section 2.1.1). */
export function merkleRoot(leaves: readonly Hex[]): Hex {
  const [only, more] = leaves;
  if (only === undefined) throw new RangeError("a tree has at least one leaf");
  if (more === undefined) return only;
  let left = 1;
  while (left * 2 < leaves.length) left *= 2;
  return nodeHash(merkleRoot(leaves.slice(0, left)), merkleRoot(leaves.slice(left)));
}

function sumNode(left: SumNode, right: SumNode): SumNode | null {
  const sum = left.sum + right.sum;
  if (left.sum < 0n || right.sum < 0n || sum > SUM_MAX) return null;
  const word = (amount: bigint) => numberToHex(amount, { size: 32 });
  return { hash: keccak256(concat(["0x01", left.hash, word(left.sum), right.hash, word(right.sum)])), sum };
}

/** Recomputes the root from a leaf and its siblings (RFC 9162, section 2.1.3.2); null when they do not fit. */
function climb<Node>(
  proof: Proof<Node>,
  leaf: Node,
  join: (left: Node, right: Node) => Node | null,
): Node | null {
  const { index, size, siblings } = proof;
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size)) return null;
  if (index < 0 || index >= size || siblings.length > SIBLINGS_MAX) return null;
  let [position, last, node]: [number, number, Node | null] = [index, size - 1, leaf];
  const up = () => {
    position = Math.floor(position / 2);
    last = Math.floor(last / 2);
  };
  for (const sibling of siblings) {
    if (last === 0 || node === null) return null;
    if (position % 2 === 1 || position === last) {
      node = join(sibling, node);
      while (position % 2 === 0 && position !== 0) up();
    } else {
      node = join(node, sibling);
    }
    up();
  }
  return last === 0 ? node : null;
}

/** True when `leaf` (made by {@link leafHash}) stands at the proof's position under `root`. */
export function verifyMerkleProof(proof: Proof<Hex>, root: Hex, leaf: Hex): boolean {
  return climb(proof, leaf, nodeHash)?.toLowerCase() === root.toLowerCase();
}

/** True when `leaf` stands at the proof's position under `root`, and the sums add up to the root's. */
export function verifySumProof(proof: Proof<SumNode>, root: SumNode, leaf: SumNode): boolean {
  const found = climb(proof, leaf, sumNode);
  return found !== null && found.hash.toLowerCase() === root.hash.toLowerCase() && found.sum === root.sum;
}

/** The leaf of an account's cumulative credit in an epoch's balance tree. */
export function claimLeaf(chainId: number, hub: Address, account: Address, cumulative: bigint): SumNode {
  const inner = keccak256(
    encodeAbiParameters(
      [{ type: "uint256" }, { type: "address" }, { type: "address" }, { type: "uint256" }],
      [BigInt(chainId), hub, account, cumulative],
    ),
  );
  return { hash: keccak256(inner), sum: cumulative };
}
