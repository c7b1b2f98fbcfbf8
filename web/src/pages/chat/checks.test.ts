import { readFileSync } from "node:fs";
import { privateKeyToAccount } from "viem/accounts";
import { expect, it } from "vitest";
import { voucherMessage } from "../../chain/typed-data";
import { leafHash, payoutsOf, type ReceiptJson, receiptHash, splitPool } from "../../verify";
import { type Material, summary, verifyAnswer } from "./checks";

const golden = new URL("../../../../crates/settlement/tests/golden/receipt.json", import.meta.url);
const receipt: ReceiptJson = JSON.parse(readFileSync(golden, "utf8"));
const hub = { chainId: 161_201, contract: "0x4f50454e00000000000000000000000000000004" } as const;

function payouts() {
  const sums = new Map<string, bigint>();
  for (const [pool, shares] of [
    [receipt.split.influence, receipt.influence],
    [receipt.split.provenance, receipt.provenance],
  ] as const) {
    for (const { account, amount } of splitPool(BigInt(pool), shares) ?? []) {
      sums.set(account, (sums.get(account) ?? 0n) + amount);
    }
  }
  return [...sums].map(([contributor, total]) => ({
    contributor,
    influence_wei: "0",
    provenance_wei: "0",
    total_wei: total.toString(),
  }));
}

const root = leafHash(receiptHash(receipt));
/** The receipt alone in its epoch. The golden file's question and answer are not in it, so that check fails. */
const material: Material = {
  receipt,
  hash: receiptHash(receipt),
  shownAnswer: "answer",
  shownQuestion: "question",
  disclosure: { request: { messages: [["user", "question"]] }, answer: "answer", salt: root },
  payouts: payouts(),
  paid: null,
  reserve: null,
  inclusion: { receiptsRoot: root, proof: { index: 0, size: 1, siblings: [] } },
  voucher: null,
  operator: receipt.operator,
  hub,
  chain: {
    epoch: { receiptsRoot: root, receiptCount: 1n, operator: receipt.operator, final: true },
    terms: {
      builder: receipt.builder,
      inputWei: BigInt(receipt.price.inputWei),
      outputWei: BigInt(receipt.price.outputWei),
    },
  },
};
const states = async (changed: Partial<Material>) =>
  Object.fromEntries(
    (await verifyAnswer({ ...material, ...changed })).map(({ title, state }) => [title, state]),
  );

it("holds what holds, and says no to another text than the receipt's", async () => {
  expect(await states({})).toEqual({
    Receipt: "ok",
    "Operator's signature": "ok",
    "Question and answer": "failed",
    "Your payment": "open",
    "Price and builder": "ok",
    "Fee and its split": "ok",
    "Pay of each contributor": "ok",
    "Place in the epoch": "ok",
    "Root on chain": "ok",
  });
});

it("notices each thing that was changed", async () => {
  const [first, ...others] = material.payouts;
  if (first === undefined) throw new Error("the golden receipt pays nobody");
  const more = { ...first, total_wei: (BigInt(first.total_wei) + 1n).toString() };
  const otherRoot = leafHash("0x01");
  const epoch = { receiptsRoot: otherRoot, receiptCount: 1n, operator: receipt.operator, final: true };
  const changes: [string, Partial<Material>][] = [
    ["Receipt", { hash: otherRoot }],
    ["Operator's signature", { operator: hub.contract }],
    ["Operator's signature", { receipt: { ...receipt, sequence: receipt.sequence + 1 } }],
    ["Price and builder", { chain: { ...material.chain, terms: { ...material.chain.terms, inputWei: 1n } } }],
    ["Fee and its split", { receipt: { ...receipt, tokensOut: receipt.tokensOut + 1 } }],
    ["Pay of each contributor", { payouts: [more, ...others] }],
    ["Pay of each contributor", { payouts: others }],
    ["Pay of each contributor", { payouts: [{ ...first, total_wei: "many" }, ...others] }],
    [
      "Place in the epoch",
      { inclusion: { receiptsRoot: otherRoot, proof: { index: 0, size: 1, siblings: [] } } },
    ],
    ["Root on chain", { chain: { ...material.chain, epoch } }],
  ];
  for (const [title, change] of changes) expect((await states(change))[title], title).toBe("failed");
});

it("checks what a reserve pays against the records of the snapshots", async () => {
  const contributor = `0x${"77".repeat(20)}` as const;
  const given = { ...receipt, provenance: [] };
  const shown = [...(payoutsOf({ ...given, split: { ...given.split, provenance: "0" } }, null) ?? [])];
  const data = splitPool(BigInt(given.split.influence), given.influence) ?? [];
  const payouts = data.map(({ account, amount }) => ({
    contributor: account,
    influence_wei: `${amount}`,
    provenance_wei: "0",
    total_wei: `${amount}`,
  }));
  const pool = BigInt(given.split.provenance);
  const paid = [...shown, [contributor, pool] as const].map(([account, amount]) => ({
    account,
    amount: String(amount),
  }));
  const state = async (reserve: Material["reserve"], said: Material["paid"] = paid) =>
    (await states({ receipt: given, payouts, paid: said, reserve }))["Pay of each contributor"];
  const shares = [{ contributor, weight: 3 }];
  expect(await state({ shares })).toBe("ok");
  expect(await state({ shares }, paid.slice(1))).toBe("failed");
  expect(await state({ shares: [{ contributor: hub.contract, weight: 3 }] })).toBe("failed");
  expect(await state({ wrong: "another root" })).toBe("failed");
  expect(await state({ unknown: "not here" })).toBe("open");
});

it("says what cannot be checked yet while the epoch is open", async () => {
  const open = await states({ inclusion: null, chain: { ...material.chain, epoch: null } });
  expect(open).toMatchObject({ "Place in the epoch": "open", "Root on chain": "open" });
});

it("checks that the payer's voucher covers the charge", async () => {
  const payer = privateKeyToAccount(`0x${"02".repeat(32)}`);
  const paid = { ...receipt, payer: payer.address };
  const voucherOver = async (amount: bigint, signer = payer) => ({
    channelId: receipt.channelId,
    maxClaimableAmount: amount.toString(),
    signature: await signer.signTypedData(voucherMessage(receipt.channelId, amount, hub)),
  });
  const charged = BigInt(receipt.cumulativeAfter);
  const state = async (amount: bigint, signer = payer) =>
    (await states({ receipt: paid, voucher: await voucherOver(amount, signer) }))["Your payment"];
  expect(await state(charged)).toBe("ok");
  expect(await state(charged - 1n)).toBe("failed");
  expect(await state(charged, privateKeyToAccount(`0x${"03".repeat(32)}`))).toBe("failed");
});

it("sums up in one sentence", () => {
  const check = (state: "ok" | "failed" | "open") => ({ title: "", state, detail: "" });
  expect(summary([check("ok"), check("open")]).text).toBe("1 of 2 checks hold; 1 cannot be made yet.");
  expect(summary([check("ok"), check("failed"), check("open")]).state).toBe("failed");
  expect(summary([check("ok")]).state).toBe("ok");
});
