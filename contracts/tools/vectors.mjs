// Writes test/vectors/merkle.json: roots and proofs of Merkle and Merkle-sum trees, computed here by the recursive
// definition (RFC 9162, section 2.1) and read by the tests of both Solidity and Rust.
import { writeFileSync } from "node:fs";
import sha3 from "js-sha3";

const keccak = (...parts) => Buffer.from(sha3.keccak256.arrayBuffer(Buffer.concat(parts)));
const word = (n) => Buffer.from(BigInt(n).toString(16).padStart(64, "0"), "hex");
const hex = (bytes) => `0x${bytes.toString("hex")}`;
const split = (n) => {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
};

const plain = { join: (l, r) => keccak(Buffer.from([1]), l, r) };
const sums = {
  join: (l, r) => ({
    hash: keccak(Buffer.from([1]), l.hash, word(l.sum), r.hash, word(r.sum)),
    sum: l.sum + r.sum,
  }),
};
const root = (tree, leaves) => {
  if (leaves.length === 1) return leaves[0];
  const k = split(leaves.length);
  return tree.join(root(tree, leaves.slice(0, k)), root(tree, leaves.slice(k)));
};
const path = (tree, leaves, index) => {
  if (leaves.length === 1) return [];
  const k = split(leaves.length);
  return index < k
    ? [...path(tree, leaves.slice(0, k), index), root(tree, leaves.slice(k))]
    : [...path(tree, leaves.slice(k), index - k), root(tree, leaves.slice(0, k))];
};

const cases = [];
for (const size of [1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 31, 32, 33, 100]) {
  const data = Array.from({ length: size }, (_, i) => keccak(word(size), word(i)));
  const leaves = data.map((bytes) => keccak(Buffer.from([0]), bytes));
  const sumLeaves = data.map((hash, i) => ({ hash, sum: BigInt(hex(keccak(hash))) >> 140n }));
  const total = root(sums, sumLeaves);
  for (const index of new Set([0, 1, size >> 1, size - 2, size - 1].filter((i) => i >= 0 && i < size))) {
    const sumPath = path(sums, sumLeaves, index);
    cases.push({
      size,
      index,
      data: hex(data[index]),
      root: hex(root(plain, leaves)),
      siblings: path(plain, leaves, index).map(hex),
      sum: `${sumLeaves[index].sum}`,
      sumRoot: hex(total.hash),
      sumTotal: `${total.sum}`,
      sumSiblingHashes: sumPath.map((node) => hex(node.hash)),
      sumSiblingSums: sumPath.map((node) => `${node.sum}`),
    });
  }
}
writeFileSync("test/vectors/merkle.json", JSON.stringify({ count: cases.length, cases }, null, 1) + "\n");
