import { LinkButton } from "../ui/Button";
import { Page } from "../ui/Page";
import { Empty } from "../ui/states";

export function NotFound() {
  return (
    <Page title="No such page">
      <Empty
        title="There is nothing at this address"
        action={<LinkButton to="/">To the first page</LinkButton>}
      >
        The link may be mistyped, or made by another version of this page.
      </Empty>
    </Page>
  );
}
