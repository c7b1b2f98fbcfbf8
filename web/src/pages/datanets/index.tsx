/** Datanets: pools of data with an owner, a licence and people who contribute. */
import type { RouteObject } from "react-router";

export const routes: RouteObject[] = [
  { path: "datanets", lazy: async () => ({ Component: (await import("./List")).List }) },
  { path: "datanets/new", lazy: async () => ({ Component: (await import("./New")).New }) },
  {
    path: "datanets/:id/contribute",
    lazy: async () => ({ Component: (await import("./contribute/Contribute")).Contribute }),
  },
  {
    path: "datanets/:id/records/:hash",
    lazy: async () => ({ Component: (await import("./RecordPage")).RecordPage }),
  },
  {
    path: "datanets/:id",
    lazy: async () => ({ Component: (await import("./Detail")).Detail }),
    children: [
      { index: true, lazy: async () => ({ Component: (await import("./Records")).Records }) },
      {
        path: "contributors",
        lazy: async () => ({ Component: (await import("./Contributors")).Contributors }),
      },
      { path: "snapshots", lazy: async () => ({ Component: (await import("./Snapshots")).Snapshots }) },
      { path: "models", lazy: async () => ({ Component: (await import("./Models")).Models }) },
    ],
  },
];
