import { useQuery } from "@tanstack/react-query";
import { type ReactNode, Suspense, useEffect, useMemo, useRef, useState } from "react";
import { RouterProvider } from "react-aria-components";
import {
  Link,
  NavLink,
  Outlet,
  ScrollRestoration,
  useHref,
  useLocation,
  useNavigate,
  useNavigation,
} from "react-router";
import { statusQuery } from "../api/queries";
import { ChainContext, chainInfo } from "../chain/client";
import { NAVIGATION } from "../routes";
import { Button } from "../ui/Button";
import { cx } from "../ui/classes";
import { ConfirmProvider } from "../ui/Dialog";
import { ErrorState, Loading } from "../ui/states";
import { Messages, ToastProvider } from "../ui/Toasts";
import { ApprovalProvider } from "../wallet/approval";
import { WalletProviderContext } from "../wallet/wallet";
import { AccountMenu } from "./AccountMenu";
import { useLiveUpdates } from "./live";
import { setTheme, type Theme, useTheme } from "./theme";

/** The frame of every page. What acts on the chain is there once the node has said which chain it is. */
export function Layout() {
  const status = useQuery(statusQuery);
  const navigate = useNavigate();
  const described = status.data?.chain;
  const { operator, faucet_wei } = status.data ?? {};
  // The status also has counters that change all the time; the chain is made anew only when it is another.
  // biome-ignore lint/correctness/useExhaustiveDependencies: see above
  const chain = useMemo(
    () => (status.data ? chainInfo(status.data) : null),
    [described, operator, faucet_wei],
  );
  const frame = (account: ReactNode, content: ReactNode) => (
    <>
      <SkipLink />
      <Header account={account} />
      <Main>{content}</Main>
      <Footer />
    </>
  );
  return (
    <RouterProvider navigate={navigate} useHref={useHref}>
      <ToastProvider>
        <ConfirmProvider>
          {chain === null ? (
            frame(null, <Waiting error={status.error} retry={() => status.refetch()} />)
          ) : (
            <ChainContext value={chain}>
              <WalletProviderContext>
                <ApprovalProvider>
                  {frame(
                    <AccountMenu />,
                    <Suspense fallback={<Waiting error={null} />}>
                      <Outlet />
                    </Suspense>,
                  )}
                </ApprovalProvider>
              </WalletProviderContext>
            </ChainContext>
          )}
        </ConfirmProvider>
      </ToastProvider>
      <ScrollRestoration />
    </RouterProvider>
  );
}

function Waiting({ error, retry }: { error: unknown; retry?: () => void }) {
  return (
    <div className="mx-auto max-w-2xl px-4 py-10">
      {error ? (
        <>
          <h1 className="mb-3 text-xl font-semibold">The node cannot be reached</h1>
          <ErrorState error={error} retry={retry} />
        </>
      ) : (
        <Loading label="Opening the page …" />
      )}
    </div>
  );
}

function SkipLink() {
  return (
    <a
      href="#main"
      className="fixed top-2 left-2 z-50 -translate-y-16 rounded-md bg-accent px-3 py-1.5 text-sm font-medium text-on-accent focus:translate-y-0"
    >
      Skip to the content
    </a>
  );
}

/** The page's content; takes the focus when the page changes, so that keyboard and screen reader start there. */
function Main({ children }: { children: ReactNode }) {
  const main = useRef<HTMLElement>(null);
  const { pathname } = useLocation();
  const before = useRef(pathname);
  useEffect(() => {
    if (before.current === pathname) return;
    const [section, previous] = [pathname, before.current].map((path) =>
      path.split("/").slice(0, 3).join("/"),
    );
    before.current = pathname;
    if (section !== previous) main.current?.focus({ preventScroll: true });
  }, [pathname]);
  return (
    <main id="main" ref={main} tabIndex={-1} className="flex-1">
      {children}
    </main>
  );
}

function Header({ account }: { account: ReactNode }) {
  const [open, setOpen] = useState(false);
  const { pathname } = useLocation();
  const busy = useNavigation().state !== "idle";
  // biome-ignore lint/correctness/useExhaustiveDependencies: a page was chosen, so the menu has done its work
  useEffect(() => setOpen(false), [pathname]);
  return (
    <header className="sticky top-0 z-30 border-b border-line bg-surface">
      <div className="mx-auto flex h-13 max-w-[84rem] items-center gap-x-2 px-3 sm:gap-x-5 sm:px-6">
        <Link to="/" className="flex items-center gap-2 font-semibold tracking-tight">
          <img src="/favicon.svg" alt="" width={22} height={22} />
          OpenLedger
        </Link>
        <nav
          id="navigation"
          aria-label="Main"
          className={cx(
            "gap-x-1 max-lg:absolute max-lg:inset-x-0 max-lg:top-full max-lg:flex-col max-lg:border-b max-lg:border-line max-lg:bg-surface max-lg:p-3 max-lg:shadow-raised lg:flex",
            open ? "max-lg:flex" : "max-lg:hidden",
          )}
        >
          {NAVIGATION.map(({ to, label }) => (
            <NavLink
              key={to}
              to={to}
              className={({ isActive }) =>
                cx(
                  "rounded-md px-2.5 py-1.5 text-sm",
                  isActive
                    ? "bg-accent-soft font-medium text-accent-strong"
                    : "text-muted hover:bg-sunken hover:text-ink",
                )
              }
            >
              {label}
            </NavLink>
          ))}
        </nav>
        <div className="ml-auto flex items-center gap-1 sm:gap-2">
          {account}
          <ThemeToggle />
          <Button
            tone="ghost"
            size="sm"
            className="lg:hidden"
            aria-expanded={open}
            aria-controls="navigation"
            aria-label="Menu"
            onPress={() => setOpen(!open)}
          >
            <svg
              aria-hidden="true"
              viewBox="0 0 16 16"
              className="size-4"
              fill="none"
              stroke="currentColor"
              strokeWidth="1.6"
            >
              <path d={open ? "m3 3 10 10M13 3 3 13" : "M2 4.5h12M2 8h12M2 11.5h12"} />
            </svg>
          </Button>
        </div>
      </div>
      {busy && (
        <span aria-hidden="true" className="animate-late absolute inset-x-0 -bottom-px h-0.5 overflow-hidden">
          <span className="animate-sweep absolute inset-y-0 w-1/3 bg-accent" />
        </span>
      )}
      <Messages />
    </header>
  );
}

const NEXT: Record<Theme, { theme: Theme; label: string; path: string }> = {
  system: {
    theme: "dark",
    label: "Theme: as the system; switch to dark",
    path: "M8 2.5a5.5 5.5 0 1 0 0 11ZM8 2.5a5.5 5.5 0 0 1 0 11",
  },
  dark: {
    theme: "light",
    label: "Theme: dark; switch to light",
    path: "M13 9.5A5.5 5.5 0 0 1 6.5 3a5.5 5.5 0 1 0 6.5 6.5Z",
  },
  light: {
    theme: "system",
    label: "Theme: light; follow the system",
    path: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6ZM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1",
  },
};

function ThemeToggle() {
  const theme = useTheme();
  const { theme: next, label, path } = NEXT[theme];
  return (
    <Button tone="ghost" size="sm" aria-label={label} onPress={() => setTheme(next)}>
      <svg
        aria-hidden="true"
        viewBox="0 0 16 16"
        className="size-4"
        fill={theme === "system" ? "currentColor" : "none"}
        fillOpacity={0.25}
        stroke="currentColor"
        strokeWidth="1.4"
      >
        <path d={path} />
      </svg>
    </Button>
  );
}

function Footer() {
  const live = useLiveUpdates();
  const { data } = useQuery(statusQuery);
  return (
    <footer className="border-t border-line">
      <div className="mx-auto flex max-w-[84rem] flex-wrap justify-between gap-x-6 gap-y-1 px-4 py-3 text-xs text-muted sm:px-6">
        <span>
          {data
            ? `${data.chain.name} · chain ${data.chain.id} · base model ${data.base_model.name}`
            : "OpenLedger"}
        </span>
        <span>
          {live === "open"
            ? "Live"
            : live === "waiting"
              ? "Updates are interrupted; connecting again"
              : "Connecting"}
        </span>
      </div>
    </footer>
  );
}
