/** The explorer: blocks, transactions, accounts, epochs and receipts, each checked or decoded in the browser. */
import type { RouteObject } from "react-router";

export const routes: RouteObject[] = [
  { path: "explorer", lazy: async () => ({ Component: (await import("./Explorer")).Explorer }) },
  {
    path: "explorer/block/:number",
    lazy: async () => ({ Component: (await import("./BlockPage")).BlockPage }),
  },
  {
    path: "explorer/tx/:hash",
    lazy: async () => ({ Component: (await import("./TransactionPage")).TransactionPage }),
  },
  {
    path: "explorer/address/:address",
    lazy: async () => ({ Component: (await import("./AddressPage")).AddressPage }),
  },
  {
    path: "explorer/epoch/:number",
    lazy: async () => ({ Component: (await import("./EpochPage")).EpochPage }),
  },
  {
    path: "explorer/receipt/:hash",
    lazy: async () => ({ Component: (await import("./ReceiptPage")).ReceiptPage }),
  },
];
