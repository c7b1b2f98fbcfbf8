// Executes transactions with @ethereumjs/vm and prints what each one did, for comparison with ours.
//
//   node replay.mjs MODULES < {"chainId","alloc":{address:balance},"blocks":[{header fields, "txs":[raw]}],"storage":{address:[slots]}}
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.argv[2]}/package.json`);
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { createVM, runTx } = await load("@ethereumjs/vm");
const { createCustomCommon, Mainnet, Hardfork } = await load("@ethereumjs/common");
const { createTxFromRLP } = await load("@ethereumjs/tx");
const { createBlock } = await load("@ethereumjs/block");
const { Account, bytesToHex, createAddressFromString, hexToBytes, setLengthLeft } = await load("@ethereumjs/util");

const input = JSON.parse(readFileSync(0, "utf8"));
const common = createCustomCommon({ chainId: input.chainId }, Mainnet, { hardfork: Hardfork.Prague });
const vm = await createVM({ common });
for (const [address, balance] of Object.entries(input.alloc)) {
  await vm.stateManager.putAccount(createAddressFromString(address), new Account(0n, BigInt(balance)));
}
const results = [];
for (const { txs, ...header } of input.blocks) {
  const block = createBlock({ header }, { common, skipConsensusFormatValidation: true });
  for (const raw of txs) {
    const tx = createTxFromRLP(hexToBytes(raw), { common });
    const done = await runTx(vm, { tx, block, skipHardForkValidation: true, skipBlockGasLimitValidation: true });
    results.push({
      gas: Number(done.totalGasSpent),
      ok: done.execResult.exceptionError === undefined,
      logs: (done.execResult.logs ?? []).map(([address, topics, data]) =>
        [bytesToHex(address), topics.map(bytesToHex), bytesToHex(data)]),
    });
  }
}
const storage = {};
for (const [address, slots] of Object.entries(input.storage)) {
  const account = await vm.stateManager.getAccount(createAddressFromString(address));
  const values = [];
  for (const slot of slots) {
    const value = await vm.stateManager.getStorage(createAddressFromString(address), hexToBytes(slot));
    values.push(bytesToHex(setLengthLeft(value, 32)));
  }
  storage[address] = { balance: (account?.balance ?? 0n).toString(), nonce: Number(account?.nonce ?? 0n), values };
}
process.stdout.write(JSON.stringify({ results, storage }));
