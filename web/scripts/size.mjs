// What the browser loads before the first page shows, gzipped, and whether that is within the limit.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const ENTRY_BYTES_MAX = 300_000;
const dist = new URL("../dist/", import.meta.url);
const html = readFileSync(new URL("index.html", dist), "utf8");
const files = [...html.matchAll(/(?:src|href)="\/(assets\/[^"]+)"/g)].map(([, file]) => file);
const sizes = files.map((file) => [file, gzipSync(readFileSync(new URL(file, dist)), { level: 9 }).length]);
for (const [file, bytes] of sizes) console.log(String(bytes).padStart(8), file);
const total = sizes.reduce((sum, [, bytes]) => sum + bytes, 0);
console.log(String(total).padStart(8), `of at most ${ENTRY_BYTES_MAX} bytes`);
if (files.length === 0 || total > ENTRY_BYTES_MAX) process.exit(1);
