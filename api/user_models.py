"""The bodies about users that the API gives, as its OpenAPI page shows them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from api.models import Author, Count, Time
from api.stores import Degraded

Influence = Annotated[
    float,
    Field(
        ge=0,
        description="`log10(1 + followers) * followers / (followers + following)`.",
        examples=[1.64],
    ),
]


class Profile(BaseModel):
    """A user."""

    user_id: str = Field(examples=["user_789"])
    username: str | None = Field(examples=["john_doe"])
    display_name: str | None = Field(examples=["John Doe"])
    bio: str | None
    avatar: str | None = Field(examples=["https://cdn.example.com/avatar.jpg"])
    is_verified: bool
    followers: Count
    following: Count
    posts: Count = Field(description="Public posts.")
    influence: Influence
    is_following: bool = Field(description="Whether the caller follows the user.")
    is_favourite: bool = Field(description="Whether the caller is told of the user's new posts.")


class Person(Author):
    """A user in a list."""

    is_following: bool = Field(description="Whether the caller follows the user.")


class People(BaseModel):
    """A page of users, in the order of their ids."""

    users: list[Person]
    next_cursor: str | None = Field(description="For the next page; null at the end.")
    has_more: bool


class Muted(People):
    """A page of what the caller mutes: topics in the order of their names, then users."""

    topics: list[str] = Field(description="In their common form.", examples=[["rust"]])


class CloseFriend(Person):
    """A user with whom the caller does much."""

    affinity: float = Field(description="Of the caller to the user, as of now.", examples=[42.5])


class CloseFriends(BaseModel):
    """Those closest to the caller who follow each other with the caller, closest first."""

    users: list[CloseFriend]
    as_of: Time
    degraded: list[Degraded]


class Suggestion(Person):
    """A user whom the caller may want to follow."""

    score: float = Field(
        description="The sum over the users in `via`, and others whom the caller follows and who "
        "follow this one, of how close they are; more for those who follow few.",
        examples=[0.861353],
    )
    influence: Influence
    via: list[str] = Field(
        description="Up to 3 users whom the caller follows and who follow this one.",
        examples=[["user_12"]],
    )


class Suggestions(BaseModel):
    """Users whom the caller may want to follow, the most fitting first."""

    users: list[Suggestion]
    as_of: Time = Field(description="The time at which affinity was weighed.")
    degraded: list[Degraded] = Field(
        description="The stores that were needed and could not be reached: without Redis, blocks "
        "and mutes are not known, and whom friends followed last neither."
    )
