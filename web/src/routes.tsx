/** Every page with its address. A page is loaded when it is first opened. */
import type { RouteObject } from "react-router";
import { Broken } from "./layout/Broken";
import { Layout } from "./layout/Layout";
import { routes as chat } from "./pages/chat";
import { routes as datanets } from "./pages/datanets";
import { routes as earnings } from "./pages/earnings";
import { routes as explorer } from "./pages/explorer";
import { routes as factory } from "./pages/factory";
import { routes as models } from "./pages/models";
import { routes as operator } from "./pages/operator";

/** The header's links, in order. */
export const NAVIGATION: readonly { to: string; label: string }[] = [
  { to: "/datanets", label: "Datanets" },
  { to: "/factory", label: "ModelFactory" },
  { to: "/models", label: "Models" },
  { to: "/chat", label: "OpenChat" },
  { to: "/earnings", label: "Earnings" },
  { to: "/explorer", label: "Explorer" },
  { to: "/operator", label: "Operator" },
];

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
          ...datanets,
          ...factory,
          ...models,
          ...chat,
          ...earnings,
          ...explorer,
          ...operator,
          { path: "*", lazy: async () => ({ Component: (await import("./pages/NotFound")).NotFound }) },
        ],
      },
    ],
  },
];
