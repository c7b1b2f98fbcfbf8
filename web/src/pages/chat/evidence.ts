/** The file of evidence, version 1, that `openledger receipt verify` reads; docs/formats.md says what it holds. */
import type { components } from "../../api/generated/schema";
import type { Disclosure } from "../../verify";

type ReceiptBundle = components["schemas"]["ReceiptBundle"];

const VERSION = 1;
/** Digits of the receipt's hash in the file's name. */
const NAME_DIGITS = 8;

/** All that is needed to check an answer anywhere, and to replay it: the question and the answer are in it in the clear. */
export function evidenceFile(bundle: ReceiptBundle, { request, answer, salt }: Disclosure): string {
  return `${JSON.stringify({ version: VERSION, bundle, disclosure: { request, answer, salt } }, null, 2)}\n`;
}

export function evidenceName(receipt: string): string {
  return `answer-${receipt.slice(2, 2 + NAME_DIGITS)}.json`;
}
