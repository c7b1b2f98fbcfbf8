import { readFileSync } from "node:fs";
import { zeroAddress } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { expect, it } from "vitest";
import { channelConfig, channelId, voucherDigest, voucherMessage } from "../../chain/typed-data";
import {
  countedShares,
  creditsOf,
  leafHash,
  type PaidBy,
  type ReceiptJson,
  receiptHash,
  splitPool,
  totals,
} from "../../verify";
import { type Material, summary, verifyAnswer } from "./checks";

const golden = new URL("../../../../crates/settlement/tests/golden/receipt.json", import.meta.url);
const receipt: ReceiptJson = JSON.parse(readFileSync(golden, "utf8"));
const hub = { chainId: 161_201, contract: "0x4f50454e00000000000000000000000000000004" } as const;

/** What the page shows of each contributor. */
function payouts({ split, influence, provenance } = receipt) {
  const sums = new Map<string, bigint>();
  for (const [pool, shares] of [
    [split.influence, influence],
    [split.provenance, provenance],
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

const NOBODY: PaidBy = { reserve: null, parents: null };
/** Everyone's pay, as an honest node names it. */
function everyone(of: ReceiptJson, paidBy = NOBODY) {
  const made = creditsOf(of, paidBy);
  if (!("credits" in made)) throw new Error(JSON.stringify(made));
  return [...totals(made.credits)].map(([account, amount]) => ({ account, amount: String(amount) }));
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
  paid: everyone(receipt),
  paidBy: NOBODY,
  inclusion: { receiptsRoot: root, proof: { index: 0, size: 1, siblings: [] } },
  payment: null,
  operator: receipt.operator,
  hub,
  chain: {
    epoch: { receiptsRoot: root, receiptCount: 1n, operator: receipt.operator, final: true },
    terms: {
      builder: receipt.builder,
      baseModel: receipt.baseModel,
      weightsHash: receipt.weightsHash,
      indexRoot: receipt.indexRoot,
      snapshotRoots: receipt.snapshotRoots,
      inputWei: BigInt(receipt.price.inputWei),
      outputWei: BigInt(receipt.price.outputWei),
      bps: receipt.bps,
    },
  },
};
const checks = (changed: Partial<Material>) => verifyAnswer({ ...material, ...changed });
const states = async (changed: Partial<Material>) =>
  Object.fromEntries((await checks(changed)).map(({ title, state }) => [title, state]));

it("holds what holds, and says no to another text than the receipt's", async () => {
  expect(await states({})).toEqual({
    Receipt: "ok",
    "Operator's signature": "ok",
    "Question and answer": "failed",
    "Your payment": "open",
    "Published terms": "ok",
    "Fee and its split": "ok",
    "Pay of everyone": "ok",
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
    ["Published terms", { receipt: { ...receipt, price: { ...receipt.price, inputWei: "1" } } }],
    ["Published terms", { receipt: { ...receipt, bps: { ...receipt.bps, stakers: 1 } } }],
    ["Published terms", { receipt: { ...receipt, snapshotRoots: [otherRoot] } }],
    ["Published terms", { chain: { ...material.chain, terms: null } }],
    ["Fee and its split", { receipt: { ...receipt, tokensOut: receipt.tokensOut + 1 } }],
    ["Pay of everyone", { payouts: [more, ...others] }],
    ["Pay of everyone", { payouts: others }],
    ["Pay of everyone", { payouts: [{ ...first, total_wei: "many" }, ...others] }],
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
  const data = splitPool(BigInt(given.split.influence), given.influence) ?? [];
  const payouts = data.map(({ account, amount }) => ({
    contributor: account,
    influence_wei: `${amount}`,
    provenance_wei: "0",
    total_wei: `${amount}`,
  }));
  const paid = everyone(given, { ...NOBODY, reserve: { shares: [{ contributor, weight: 3 }] } });
  expect(paid).toContainEqual({ account: contributor, amount: given.split.provenance });
  const state = async (reserve: PaidBy["reserve"], said: Material["paid"] = paid) =>
    (await states({ receipt: given, payouts, paid: said, paidBy: { ...NOBODY, reserve } }))[
      "Pay of everyone"
    ];
  const shares = [{ contributor, weight: 3 }];
  expect(await state({ shares })).toBe("ok");
  expect(await state({ shares }, paid.slice(1))).toBe("failed");
  expect(await state({ shares: [{ contributor: hub.contract, weight: 3 }] })).toBe("failed");
  expect(await state({ wrong: "another root" })).toBe("failed");
  expect(await state({ unknown: "not here" })).toBe("open");
});

it("checks the pay of parents' builders, and names the one whose pay was changed", async () => {
  const influence = String(BigInt(receipt.split.influence) - 10n);
  const given = { ...receipt, split: { ...receipt.split, parents: "10", influence } };
  const parent = `0x${"a1".repeat(20)}` as const;
  const paidBy = { ...NOBODY, parents: { shares: countedShares([parent]) } };
  const paid = everyone(given, paidBy);
  const of = async (changed: Partial<Material>) => {
    const material = { receipt: given, payouts: payouts(given), paid, paidBy, ...changed };
    return (await checks(material)).find(({ title }) => title === "Pay of everyone");
  };
  expect(await of({})).toMatchObject({ state: "ok" });
  const less = paid.map((one) => (one.account === parent ? { ...one, amount: "9" } : one));
  expect(await of({ paid: less })).toEqual({
    title: "Pay of everyone",
    state: "failed",
    detail: `${parent} is due 10 wei as builder of a parent model; the node names 9 wei.`,
  });
  expect((await of({ paidBy: NOBODY }))?.state).toBe("open");
  expect((await of({ paid: null }))?.state).toBe("open");
});

it("says what cannot be checked yet while the epoch is open", async () => {
  const open = await states({ inclusion: null, chain: { ...material.chain, epoch: null } });
  expect(open).toMatchObject({ "Place in the epoch": "open", "Root on chain": "open" });
});

it("checks that the voucher is the payer's, is the one named, and covers the charge", async () => {
  const payer = privateKeyToAccount(`0x${"02".repeat(32)}`);
  const channel = channelConfig({
    payer: payer.address,
    operator: receipt.operator,
    hub: hub.contract,
    token: zeroAddress,
    withdrawDelayS: 900,
    salt: root,
  });
  const id = channelId(channel, hub);
  const charged = BigInt(receipt.cumulativeAfter);
  const signed = async (amount: bigint, signer = payer) => ({
    channelId: id,
    maxClaimableAmount: amount.toString(),
    signature: await signer.signTypedData(voucherMessage(id, amount, hub)),
  });
  /** The receipt names the voucher of `named` wei, or the one that is shown. */
  const state = async (amount: bigint, { signer = payer, named = amount, in: inChannel = channel } = {}) => {
    const voucherHash = voucherDigest(id, named, hub);
    const paid = { ...receipt, payer: payer.address, channelId: id, voucherHash };
    const payment = { channel: inChannel, voucher: await signed(amount, signer) };
    return (await states({ receipt: paid, payment }))["Your payment"];
  };
  expect(await state(charged)).toBe("ok");
  expect(await state(charged - 1n)).toBe("failed");
  expect(await state(charged + 1n, { named: charged })).toBe("failed");
  expect(await state(charged, { signer: privateKeyToAccount(`0x${"03".repeat(32)}`) })).toBe("failed");
  expect(await state(charged, { in: { ...channel, salt: receipt.voucherHash } })).toBe("failed");
  expect(await state(charged, { in: { ...channel, receiverAuthorizer: hub.contract } })).toBe("failed");
});

it("sums up in one sentence", () => {
  const check = (state: "ok" | "failed" | "open") => ({ title: "", state, detail: "" });
  expect(summary([check("ok"), check("open")]).text).toBe("1 of 2 checks hold; 1 cannot be made yet.");
  expect(summary([check("ok"), check("failed"), check("open")]).state).toBe("failed");
  expect(summary([check("ok")]).state).toBe("ok");
});
