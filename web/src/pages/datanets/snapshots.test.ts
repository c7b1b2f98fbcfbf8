import type { Hex } from "viem";
import { expect, it } from "vitest";
import { snapshotState } from "./snapshots";

const root = (byte: string) => `0x${byte.repeat(32)}` as Hex;
const chain = {
  count: 3,
  latest: [2, 3].map((number) => ({ number, root: root(`0${number}`), publishedAt: 5 })),
};
const state = (snapshot: number, byte: string) => snapshotState({ snapshot, root: root(byte) }, chain).kind;

it("tells published snapshots from those whose root differs, and which comes next", () => {
  expect(state(2, "02")).toBe("published");
  expect(state(3, "09")).toBe("different");
  expect(state(1, "01")).toBe("unread");
  expect(state(4, "04")).toBe("next");
  expect(state(5, "05")).toBe("later");
});
