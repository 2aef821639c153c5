"""Stages: producers and consumers of events with back-pressure (Elixir's GenStage)."""

from actors.stage._broadcast_dispatcher import BroadcastDispatcher
from actors.stage._buffer import Buffer
from actors.stage._demand import Batch, Demand
from actors.stage._demand_dispatcher import DemandDispatcher
from actors.stage._dispatcher import Dispatcher, Step, SubscriptionError
from actors.stage._partition_dispatcher import PartitionDispatcher
from actors.stage._stage import (
    Consumer,
    IterableProducer,
    Producer,
    ProducerConsumer,
    count_buffered,
    set_demand,
    subscribe,
)
from actors.stage._subscription import Subscription

__all__ = [
    "Batch",
    "BroadcastDispatcher",
    "Buffer",
    "Consumer",
    "Demand",
    "DemandDispatcher",
    "Dispatcher",
    "IterableProducer",
    "PartitionDispatcher",
    "Producer",
    "ProducerConsumer",
    "Step",
    "Subscription",
    "SubscriptionError",
    "count_buffered",
    "set_demand",
    "subscribe",
]
