/** keccak256 of a file, away from the thread that draws the page. */
import { keccak256 } from "viem/utils";

self.onmessage = async ({ data }: MessageEvent<Blob>) => {
  try {
    self.postMessage({ hash: keccak256(new Uint8Array(await data.arrayBuffer())) });
  } catch {
    // What is thrown here is about reading: the file was moved, or may not be read.
    self.postMessage({ hash: null });
  }
};
