// World: requests, and what may be read back.
#include <algorithm>
#include <cstring>

#include "tests/sim/coverage.h"
#include "tests/sim/world.h"

namespace holdfast::sim {

using initiator::Completion;
using initiator::Outcome;
using initiator::Request;
using initiator::RequestKind;
using initiator::Submitted;

namespace {

constexpr std::byte kIdle{0xa5};  // Fills a buffer while nobody may touch it.

std::uint64_t word_of(std::uint64_t version, std::uint64_t lba, std::size_t index) {
    if (version == 0) return 0;
    return version | (lba << 32) | (std::uint64_t{index} << 48);
}

}  // namespace

void fill_block(std::span<std::byte> to, std::uint64_t version, std::uint64_t lba) {
    for (std::size_t i = 0; i < kSimBlockBytes / 8; ++i) {
        const std::uint64_t word = word_of(version, lba, i);
        std::memcpy(to.subspan(i * 8, 8).data(), &word, 8);
    }
}

std::optional<std::uint64_t> version_of(std::span<const std::byte> from, std::uint64_t lba) {
    std::uint64_t first = 0;
    std::memcpy(&first, from.data(), 8);
    const std::uint64_t version = first == 0 ? 0 : first & 0xffffffffU;
    for (std::size_t i = 0; i < kSimBlockBytes / 8; ++i) {
        std::uint64_t word = 0;
        std::memcpy(&word, from.subspan(i * 8, 8).data(), 8);
        if (word != word_of(version, lba, i)) return {};
    }
    return version;
}

/// What was not durable may be there or not; what is there now is durable.
void Oracle::lose_power() {
    for (Block& block : blocks_) {
        block.legal.insert(block.durable.begin(), block.durable.end());
        block.durable = block.legal;
        block.is_anything = block.is_anything || block.is_durable_anything;
    }
}

void World::submit_some() {
    if (!is_ready_ || is_stopping_ || now_ < next_submit_) return;
    for (std::uint16_t tag = 0; tag < depth_ && submitted_ < request_goal_; ++tag) {
        if (!jobs_[tag].is_out && random_.one_in(2)) start_job(tag);
    }
    next_submit_ = now_ + static_cast<Micros>(random_.below(faults_on_ ? 200'000 : 20'000));
}

bool World::try_lock(Job& job) {
    for (std::uint32_t i = 0; i < job.blocks; ++i) {
        if (oracle_.at(job.lba + i).is_locked) return false;
    }
    for (std::uint32_t i = 0; i < job.blocks; ++i) oracle_.at(job.lba + i).is_locked = true;
    return true;
}

void World::start_job(std::uint16_t tag) {
    Job job;
    const std::uint64_t dice = random_.below(100);
    job.blocks = 1 + static_cast<std::uint32_t>(random_.below(request_blocks_max_));
    job.lba = random_.below(oracle_.size() - job.blocks + 1);
    Request& request = job.request;
    request.kind = RequestKind::Read;
    if (dice < 50) request.kind = RequestKind::Write;
    if (dice >= 88) request.kind = RequestKind::Flush;
    if (dice >= 93) request.kind = RequestKind::Discard;
    if (dice >= 96) request.kind = RequestKind::WriteZeroes;
    if (request.kind == RequestKind::Flush) job.blocks = 0;
    if (!try_lock(job)) return;
    request.tag = tag;
    request.lba = Lba{job.lba};
    request.blocks = BlockCount{job.blocks};
    request.may_unmap = random_.one_in(2);
    job.is_fua = request.kind == RequestKind::Write && dice < 8;
    request.force_unit_access = job.is_fua;
    job.version = request.kind == RequestKind::Write ? next_version_++ : 0;
    job.flush_mark = completed_;
    const std::span<std::byte> buffer{buffers_[tag]};
    if (request.kind == RequestKind::Read || request.kind == RequestKind::Write) {
        request.data = buffer.first(std::size_t{job.blocks} * kSimBlockBytes);
    }
    if (request.kind == RequestKind::Write) {
        for (std::uint32_t i = 0; i < job.blocks; ++i) {
            fill_block(request.data.subspan(std::size_t{i} * kSimBlockBytes, kSimBlockBytes),
                       job.version, job.lba + i);
        }
    }
    // Until it has ended, old and new are both legal.
    if (request.kind == RequestKind::Write || request.kind == RequestKind::WriteZeroes) {
        for (std::uint32_t i = 0; i < job.blocks; ++i) {
            oracle_.at(job.lba + i).legal.insert(job.version);
        }
    }
    if (request.kind == RequestKind::Discard) {
        for (std::uint32_t i = 0; i < job.blocks; ++i) {
            oracle_.at(job.lba + i).is_anything = true;
            oracle_.at(job.lba + i).is_durable_anything = true;
        }
    }
    submit(job);
    if (!failure_.empty()) return;
    job.is_out = true;
    jobs_[tag] = job;
    trace_job("submit", job);
    ++submitted_;
    mix(tag + job.lba * 256);
}

void World::submit(const Job& job) {
    tap().saw(Happening::Submit);
    const auto said = [&] {
        const EngineScope scope;
        return engine_->submit(Instant::from_ns(now_ * 1000), job.request);
    }();
    if (said != Submitted::Accepted) fail("submit refused: " + std::to_string(int(said)));
}

void World::on_written(const Job& job, bool is_done) {
    const bool is_through = !has_volatile_cache_ || job.is_fua;
    for (std::uint32_t i = 0; i < job.blocks; ++i) {
        auto& block = oracle_.at(job.lba + i);
        // A failed one may be there or not, until the next one is done.
        if (!is_done) {
            block.legal.insert(job.version);
            block.durable.insert(job.version);
            continue;
        }
        block.is_anything = job.may_be_lost && block.is_durable_anything;
        block.acknowledged_at = completed_;
        // Still out at the power cut: what was durable then may be there instead.
        if (!job.may_be_lost || is_through) block.legal.clear();
        block.legal.insert(job.version);
        block.durable.insert(job.version);
        if (!is_through) continue;
        block.durable = {job.version};
        block.is_durable_anything = false;
    }
}

void World::trace_job(const std::string& what, const Job& job) const {
    if (!is_traced_) return;
    trace(what + " tag " + std::to_string(job.request.tag) + " kind " +
          std::to_string(static_cast<int>(job.request.kind)) + " block " + std::to_string(job.lba) +
          "+" + std::to_string(job.blocks) + " version " + std::to_string(job.version) +
          (job.is_fua ? " fua" : ""));
}

void World::check_read(const Job& job) {
    for (std::uint32_t i = 0; i < job.blocks; ++i) {
        const auto bytes =
            job.request.data.subspan(std::size_t{i} * kSimBlockBytes, kSimBlockBytes);
        const std::uint64_t lba = job.lba + i;
        const auto version = version_of(bytes, lba);
        const auto& block = oracle_.at(lba);
        if (!version) return fail("torn or foreign block " + std::to_string(lba));
        if (!block.is_anything && !block.legal.contains(*version)) {
            return fail("block " + std::to_string(lba) + " has version " +
                        std::to_string(*version) + ", newest legal " +
                        std::to_string(*block.legal.rbegin()));
        }
        mix(*version);
    }
}

void World::on_completion(const Completion& completion) {
    if (completion.tag >= depth_ || !jobs_[completion.tag].is_out) {
        return fail("completion for a tag that is not out");
    }
    Job& job = jobs_[completion.tag];
    job.is_out = false;
    ++completed_;
    mix(completion.tag + 1000U + static_cast<std::uint64_t>(completion.outcome));
    const bool is_done = completion.outcome == Outcome::Done;
    trace_job(is_done ? "done" : "failed", job);
    const bool may_fail = config_.timers.replacement != Duration::max() || is_stopping_;
    if (!is_done && !may_fail) {
        fail("outcome " + std::to_string(int(completion.outcome)) + " though it should wait");
    }
    switch (job.request.kind) {
    case RequestKind::Read:
        if (is_done) check_read(job);
        break;
    case RequestKind::Write:
    case RequestKind::WriteZeroes: on_written(job, is_done); break;
    case RequestKind::Flush:
    case RequestKind::Discard: break;
    }
    const bool is_flushed = is_done && job.request.kind == RequestKind::Flush;
    for (std::uint32_t i = 0; is_flushed && i < oracle_.size(); ++i) {
        // Promised is what had completed before this flush was submitted.
        auto& block = oracle_.at(i);
        if (block.acknowledged_at > job.flush_mark) continue;
        block.durable = block.legal;
        block.is_durable_anything = block.is_anything;
    }
    for (std::uint32_t i = 0; i < job.blocks; ++i) oracle_.at(job.lba + i).is_locked = false;
    std::ranges::fill(buffers_[completion.tag], kIdle);
}

void World::check_idle_buffers() {
    for (std::uint16_t tag = 0; tag < depth_; ++tag) {
        if (jobs_[tag].is_out) continue;
        const bool is_clean =
            std::ranges::all_of(buffers_[tag], [](std::byte b) { return b == kIdle; });
        if (!is_clean) return fail("a buffer was written after its request had ended");
    }
}

void World::check_disk() {
    for (std::uint64_t lba = 0; lba < oracle_.size(); ++lba) {
        const auto& block = oracle_.at(lba);
        const auto version = version_of(std::as_bytes(std::span{disk_.block(lba)}), lba);
        if (!version) return fail("torn block on the disk");
        if (!block.is_anything && !block.legal.contains(*version)) {
            return fail("the disk has version " + std::to_string(*version) + " in block " +
                        std::to_string(lba));
        }
    }
}

}  // namespace holdfast::sim
