/// What was sent on one connection and is not acknowledged, for whoever asks for it again. RFC 7143
/// sections 7.1.4.1 and 11.16. A status acknowledges its command's data, too.
/// Limits: what the command window lets a session have out, copied.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "stress/target/wire.h"

namespace holdfast::target {

struct Sent {
    Header header{};
    std::vector<std::byte> data{};

    [[nodiscard]] Opcode opcode() const { return static_cast<Opcode>(opcode_of(header)); }
    [[nodiscard]] std::uint32_t itt() const { return be32_at<at::kItt>(HeaderView{header}); }
    [[nodiscard]] std::uint32_t data_sn() const { return be32_at<at::kDataSn>(HeaderView{header}); }
    [[nodiscard]] std::uint32_t stat_sn() const { return be32_at<at::kStatSn>(HeaderView{header}); }
    /// Data-In or R2T: numbered by DataSN or R2TSN within its command.
    [[nodiscard]] bool is_of_task() const {
        return opcode() == Opcode::DataIn || opcode() == Opcode::ReadyToTransfer;
    }
    /// Carries a status of its own.
    [[nodiscard]] bool is_counted() const;
};

class SentStore {
public:
    void keep(const Header& header, Bytes data);
    void acknowledge(std::uint32_t exp_stat_sn);
    /// A DataACK: Data-In of the command that asked with this tag, in front of `next`. False: none
    /// asked so.
    [[nodiscard]] bool acknowledge_data(std::uint32_t ttt, std::uint32_t next);
    /// Takes out everything of the command that is kept, its status too, in the order of sending.
    [[nodiscard]] std::vector<Sent> take_task(std::uint32_t itt);
    [[nodiscard]] const std::deque<Sent>& all() const noexcept { return sent_; }

private:
    std::deque<Sent> sent_;
};

}  // namespace holdfast::target
