/** Every page with its address. A page is loaded when it is first opened. */
import type { RouteObject } from "react-router";
import { Broken } from "./layout/Broken";
import { Layout } from "./layout/Layout";

/** The header's links, in order. */
export const NAVIGATION: readonly { to: string; label: string }[] = [];

export const routes: RouteObject[] = [
  {
    element: <Layout />,
    errorElement: <Broken />,
    hydrateFallbackElement: <div />,
    children: [
      {
        errorElement: <Broken inside />,
        children: [
          { index: true, lazy: async () => ({ Component: (await import("./pages/home/Home")).Home }) },
          {
            path: "account",
            lazy: async () => ({ Component: (await import("./pages/account/Account")).Account }),
          },
          { path: "*", lazy: async () => ({ Component: (await import("./pages/NotFound")).NotFound }) },
        ],
      },
    ],
  },
];
