// Drives a chain with the real viem: reads, a transfer, a deployment, calls, logs, reverts and
// subscriptions over WebSocket. Exits with an error at the first thing that is not as it should be.
//
//   node viem.mjs HTTP_URL WS_URL PRIVATE_KEY TOKEN_BYTECODE MODULES
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [httpUrl, wsUrl, key, bytecode, modules] = process.argv.slice(2);
const require = createRequire(`${modules}/package.json`);
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const viem = await load("viem");
const { privateKeyToAccount } = await load("viem/accounts");

const chain = viem.defineChain({
  id: 161201,
  name: "OpenLedger development",
  nativeCurrency: { name: "OPEN", symbol: "OPEN", decimals: 18 },
  rpcUrls: { default: { http: [httpUrl], webSocket: [wsUrl] } },
});
const account = privateKeyToAccount(key);
const node = viem.createPublicClient({ chain, transport: viem.http(), pollingInterval: 50 });
const socket = viem.createPublicClient({ chain, transport: viem.webSocket() });
const wallet = viem.createWalletClient({ account, chain, transport: viem.http(), pollingInterval: 50 });
const abi = viem.parseAbi([
  "constructor(uint256 supply)",
  "function transfer(address to, uint256 value) returns (bool)",
  "function balanceOf(address) view returns (uint256)",
  "function fail(string why)",
  "error InsufficientBalance(address holder, uint256 balance, uint256 needed)",
  "event Transfer(address indexed from, address indexed to, uint256 value)",
]);
const friend = "0x00000000000000000000000000000000DeaDBeef";
const within = (promise, what) =>
  Promise.race([promise, new Promise((_, no) => setTimeout(() => no(new Error(`no ${what} in 20 s`)), 20_000).unref())]);
const first = (watch) => {
  let stop;
  const event = new Promise((yes, no) => {
    stop = watch(yes, no);
  });
  return { event, stop: () => stop() };
};

assert.equal(await node.getChainId(), 161201);
assert.match(await node.request({ method: "web3_clientVersion" }), /^openledger\//);

// Subscriptions first, so that they see what follows.
const heads = first((onBlock, onError) => socket.watchBlocks({ onBlock, onError }));
const pending = first((yes, onError) =>
  socket.watchPendingTransactions({ onTransactions: (hashes) => yes(hashes[0]), onError }));
await new Promise((yes) => setTimeout(yes, 200));

// A transfer of value.
const before = await node.getBalance({ address: friend });
const sent = await wallet.sendTransaction({ to: friend, value: viem.parseEther("1.5") });
const receipt = await within(node.waitForTransactionReceipt({ hash: sent }), "receipt");
assert.equal(receipt.status, "success");
assert.equal(receipt.gasUsed, 21000n);
assert.equal((await node.getBalance({ address: friend })) - before, viem.parseEther("1.5"));
assert.equal(await within(pending.event, "pending transaction"), sent);
assert.ok((await within(heads.event, "new head")).number >= 1n);
pending.stop();
heads.stop();

// A contract: deploy, read, write, logs, estimates, reverts.
const deployed = await wallet.deployContract({ abi, bytecode, args: [1000n] });
const token = (await within(node.waitForTransactionReceipt({ hash: deployed }), "deployment")).contractAddress;
assert.ok((await node.getCode({ address: token })).length > 2);
const read = (who, options) => node.readContract({ address: token, abi, functionName: "balanceOf", args: [who], ...options });
assert.equal(await read(account.address), 1000n);
const logs = first((onLogs, onError) =>
  socket.watchContractEvent({ address: token, abi, eventName: "Transfer", onLogs, onError }));
await new Promise((yes) => setTimeout(yes, 200));
const paid = await wallet.writeContract({ address: token, abi, functionName: "transfer", args: [friend, 250n] });
const paidReceipt = await within(node.waitForTransactionReceipt({ hash: paid }), "token transfer");
assert.equal(paidReceipt.logs.length, 1);
const [seen] = await within(logs.event, "log over WebSocket");
assert.equal(seen.args.value, 250n);
assert.equal(seen.transactionHash, paid);
logs.stop();
assert.equal(await read(friend), 250n);
assert.equal(await read(friend, { blockNumber: paidReceipt.blockNumber - 1n }), 0n);
const found = await node.getContractEvents({ address: token, abi, eventName: "Transfer", fromBlock: 0n });
assert.deepEqual(found.map((log) => log.args.value), [1000n, 250n]);
const filter = await node.createContractEventFilter({ address: token, abi, eventName: "Transfer" });
const again = await wallet.writeContract({ address: token, abi, functionName: "transfer", args: [friend, 1n] });
await within(node.waitForTransactionReceipt({ hash: again }), "second token transfer");
assert.equal((await node.getFilterChanges({ filter })).length, 1);
assert.equal(await node.uninstallFilter({ filter }), true);
await assert.rejects(
  node.simulateContract({ account, address: token, abi, functionName: "transfer", args: [friend, 10_000n] }),
  (error) => /InsufficientBalance/.test(error.message),
);
await assert.rejects(
  node.simulateContract({ account, address: token, abi, functionName: "fail", args: ["told you"] }),
  (error) => /told you/.test(error.message),
);
const slot = viem.keccak256(viem.encodeAbiParameters([{ type: "address" }, { type: "uint256" }], [friend, 1n]));
const overridden = await read(friend, {
  stateOverride: [{ address: token, stateDiff: [{ slot, value: viem.pad("0x7b", { size: 32 }) }] }],
});
assert.equal(overridden, 123n);

// Blocks, fees, proofs.
const block = await node.getBlock({ includeTransactions: true });
assert.equal(block.transactions[0].typeHex, "0x7e");
assert.ok((await node.estimateFeesPerGas()).maxFeePerGas > 0n);
assert.equal((await node.getFeeHistory({ blockCount: 4, rewardPercentiles: [25, 75] })).reward.length, 4);
const proof = await node.getProof({ address: token, storageKeys: [slot] });
assert.equal(proof.storageProof[0].value, 251n);
assert.ok(proof.accountProof.length > 0);
console.log(JSON.stringify({ viem: "ok", blocks: Number(block.number) }));
process.exit(0);
