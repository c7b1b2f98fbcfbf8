/** Shapes that travel in headers, streams and proofs, where no OpenAPI document describes them. */
export type HexString = `0x${string}`;

/** A proof of cumulative credit, as the hub's `claim` takes it. */
export interface ClaimProofJson {
  account: HexString;
  cumulative: string;
  index: number;
  size: number;
  siblings: { hash: HexString; sum: string }[];
}
