// Drives a chain with the real ethers: reads, a transfer, a deployment, calls, events, a custom error, a
// batch of transactions and a typed block. Exits with an error at the first thing that is not as it should be.
//
//   node ethers.mjs HTTP_URL PRIVATE_KEY TOKEN_BYTECODE MODULES
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [url, key, bytecode, modules] = process.argv.slice(2);
const { ethers } = createRequire(`${modules}/package.json`)("ethers");

const node = new ethers.JsonRpcProvider(url, undefined, { polling: true, pollingInterval: 50, cacheTimeout: -1 });
const wallet = new ethers.Wallet(key, node);
const friend = "0x00000000000000000000000000000000000ea7e5";
const abi = [
  "constructor(uint256 supply)",
  "function transfer(address to, uint256 value) returns (bool)",
  "function balanceOf(address) view returns (uint256)",
  "error InsufficientBalance(address holder, uint256 balance, uint256 needed)",
  "event Transfer(address indexed from, address indexed to, uint256 value)",
];

assert.equal((await node.getNetwork()).chainId, 161201n);

// A transfer of value, priced by the node.
const sent = await wallet.sendTransaction({ to: friend, value: ethers.parseEther("1.5") });
const receipt = await sent.wait(1, 20_000);
assert.equal(receipt.status, 1);
assert.equal(receipt.gasUsed, 21_000n);
assert.equal(receipt.type, 2);
assert.equal(await node.getBalance(friend), ethers.parseEther("1.5"));

// A contract: deploy, read, write, events, a custom error decoded.
const factory = new ethers.ContractFactory(abi, bytecode, wallet);
const token = await (await factory.deploy(1_000n)).waitForDeployment();
assert.equal(await token.balanceOf(wallet.address), 1_000n);
const paid = await (await token.transfer(friend, 250n)).wait(1, 20_000);
assert.equal(paid.logs[0].fragment.name, "Transfer");
assert.equal(await token.balanceOf(friend), 250n);
assert.equal(await token.balanceOf(friend, { blockTag: paid.blockNumber - 1 }), 0n);
const events = await token.queryFilter(token.filters.Transfer(null, friend), 0);
assert.deepEqual(events.map((event) => event.args.value), [250n]);
await assert.rejects(token.transfer.staticCall(friend, 10_000n), (error) => error.revert?.name === "InsufficientBalance");

// Several transactions of one account at once: consecutive nonces, all included.
const nonce = await wallet.getNonce();
const batch = await Promise.all([0, 1, 2].map((at) => token.transfer(friend, 1n, { nonce: nonce + at })));
for (const transaction of batch) assert.equal((await transaction.wait(1, 20_000)).status, 1);
assert.equal(await token.balanceOf(friend), 253n);

// A block whose transactions are prefetched, the deposit that opens it among them.
const block = await node.getBlock(paid.blockNumber, true);
assert.ok(block.baseFeePerGas > 0n);
assert.equal(block.transactions.length, block.prefetchedTransactions.length);
console.log(JSON.stringify({ ethers: "ok", blocks: await node.getBlockNumber() }));
process.exit(0);
