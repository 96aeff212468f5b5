"""Where everything of this instance lives. Pure: a base URL in, URLs out, and back again."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Urls:
    """URLs of one instance; `base` is `https://domain` without a slash at the end."""

    base: str

    @property
    def authority(self) -> str:
        """Host, with its port unless it is the scheme's own, as in handles."""
        return urlsplit(self.base).netloc

    # Actors -------------------------------------------------------------------------------

    @property
    def instance_actor(self) -> str:
        return f"{self.base}/actor"

    @property
    def shared_inbox(self) -> str:
        return f"{self.base}/inbox"

    def actor(self, username: str) -> str:
        return f"{self.base}/users/{username}"

    def inbox(self, username: str) -> str:
        return f"{self.actor(username)}/inbox"

    def outbox(self, username: str) -> str:
        return f"{self.actor(username)}/outbox"

    def followers(self, username: str) -> str:
        return f"{self.actor(username)}/followers"

    def following(self, username: str) -> str:
        return f"{self.actor(username)}/following"

    def rsa_key(self, actor_uri: str) -> str:
        return f"{actor_uri}#main-key"

    def ed25519_key(self, actor_uri: str) -> str:
        return f"{actor_uri}#ed25519-key"

    @property
    def credential_key(self) -> str:
        """The key that signs credentials and nothing else."""
        return f"{self.instance_actor}#credential-key"

    # Things -------------------------------------------------------------------------------

    def object(self, post_id: str) -> str:
        return f"{self.base}/objects/{post_id}"

    def context(self, post_id: str) -> str:
        """The collection of a case's thread (FEP-7888)."""
        return f"{self.object(post_id)}/context"

    def activity(self, activity_id: str) -> str:
        return f"{self.base}/activities/{activity_id}"

    def follow(self, follow_id: str) -> str:
        return f"{self.base}/follows/{follow_id}"

    def like(self, like_id: str) -> str:
        return f"{self.base}/likes/{like_id}"

    def announce(self, announce_id: str) -> str:
        return f"{self.base}/announces/{announce_id}"

    def block(self, block_id: str) -> str:
        return f"{self.base}/blocks/{block_id}"

    def vouch_request(self, vouch_id: str) -> str:
        """The Offer by which a colleague elsewhere is asked to vouch."""
        return f"{self.base}/offers/{vouch_id}"

    def vouch(self, vouch_id: str) -> str:
        """The Accept by which a member vouches for somebody elsewhere."""
        return f"{self.base}/accepts/{vouch_id}"

    def credential(self, credential_id: str) -> str:
        return f"{self.base}/credentials/{credential_id}"

    @property
    def status_list(self) -> str:
        return f"{self.base}/credentials/status/1"

    @property
    def trust_list(self) -> str:
        """The trust list that this instance publishes; earlier ones by number below it."""
        return f"{self.base}/trust-list"

    @property
    def verified(self) -> str:
        """The audience of verified physicians on trusted peers."""
        return f"{self.base}/collections/verified"

    def media(self, file: str) -> str:
        return f"{self.base}/media/{quote(file)}"

    def avatar(self, username: str) -> str:
        """The picture made of a pseudonym's key."""
        return f"{self.base}/avatars/{username}.png"

    @property
    def credential_context(self) -> str:
        """What the terms of our credentials mean (JSON-LD)."""
        return f"{self.base}/ns/credentials/v1"

    @property
    def namespace(self) -> str:
        """fedidoc's own JSON-LD context."""
        return f"{self.base}/ns/v1"

    @property
    def nodeinfo(self) -> str:
        return f"{self.base}/nodeinfo/2.1"

    # Pages for people ---------------------------------------------------------------------

    def case_page(self, post_id: str) -> str:
        return f"{self.base}/cases/{post_id}"

    def profile_page(self, username: str) -> str:
        return f"{self.base}/@{username}"

    # And back -----------------------------------------------------------------------------

    def is_ours(self, uri: str) -> bool:
        """Whether a URL is this instance's: the same scheme, host and port."""
        return uri == self.base or uri.startswith((self.base + "/", self.base + "#"))

    def username_of(self, actor_uri: str) -> str | None:
        """The username in one of our actors' URLs; None for anything else."""
        return self._last(actor_uri, "/users/")

    def post_id_of(self, object_uri: str) -> str | None:
        """The post's id in one of our objects' URLs; None for anything else."""
        return self._last(object_uri, "/objects/")

    def _last(self, uri: str, folder: str) -> str | None:
        prefix = self.base + folder
        if not uri.startswith(prefix):
            return None
        last = unquote(uri[len(prefix) :])
        return last if last and "/" not in last and "#" not in last else None
