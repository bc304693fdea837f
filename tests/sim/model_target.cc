#include "tests/sim/model_target.h"

#include <algorithm>

namespace holdfast::sim {

namespace {

struct Extent {
    std::uint64_t lba = 0;
    std::uint32_t blocks = 0;
};

std::uint64_t cdb_number(const Pdu& pdu, std::size_t at, std::size_t bytes) {
    return pdu.get(32 + at, bytes);
}

Extent extent_of(const Pdu& pdu) {
    return {cdb_number(pdu, 2, 8), static_cast<std::uint32_t>(cdb_number(pdu, 10, 4))};
}

/// a is after b, serially.
bool is_after(std::uint32_t a, std::uint32_t b) {
    return static_cast<std::int32_t>(a - b) > 0;
}

void put(Bytes& to, std::size_t at, std::size_t bytes, std::uint64_t value) {
    for (std::size_t i = bytes; i > 0; --i) {
        to.at(at + i - 1) = static_cast<std::uint8_t>(value);
        value >>= 8;
    }
}

}  // namespace

void Disk::write(std::uint64_t lba, std::span<const std::uint8_t> data, bool is_durable) {
    for (std::size_t at = 0; at < data.size(); at += kSimBlockBytes, ++lba) {
        const auto piece = data.subspan(at, kSimBlockBytes);
        blocks_.at(lba).assign(piece.begin(), piece.end());
        if (is_durable) durable_.at(lba) = blocks_.at(lba);
    }
}

void Disk::lose_power(SplitMix64& random) {
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
        if (random.one_in(2)) blocks_[i] = durable_[i];
    }
    durable_ = blocks_;
}

int ModelTarget::accept() {
    conns_[next_conn_] = Conn{};
    conns_[next_conn_].stat_sn = static_cast<std::uint32_t>(random_.next());
    return next_conn_++;
}

void ModelTarget::complain(const std::string& what) {
    if (complaint_.empty()) complaint_ = "protocol: " + what;
}

void ModelTarget::lost(int conn) {
    if (!conns_.contains(conn)) return;
    conns_.at(conn).is_alive = false;
    if (conns_.at(conn).session) {
        const bool was_there = conns_.at(conn).session->conns.erase(conn) != 0;
        if (keeps_commands(conns_.at(conn))) {
            if (was_there) retain(conn);
            return;
        }
    }
    // What lacks data can never be executed any more.
    std::erase_if(commands_, [&](const auto& item) {
        return item.second.conn == conn && item.second.run_at == kNever;
    });
}

void ModelTarget::restart() {
    commands_.clear();
    for (auto& [id, conn] : conns_) conn.is_alive = false;
    sessions_.clear();
    keys_.clear();
    holder_.reset();
}

Bytes ModelTarget::take_output(int conn) {
    return std::exchange(conns_.at(conn).out, {});
}

Micros ModelTarget::next_event() const {
    Micros next = kNever;
    for (const auto& [id, command] : commands_) next = std::min(next, command.run_at);
    return next;
}

void ModelTarget::run(Micros now) {
    now_ = now;
    forget_orphans();
    std::uint64_t seen = 0;  // One command may end others.
    for (auto at = commands_.begin(); at != commands_.end(); at = commands_.upper_bound(seen)) {
        seen = at->first;
        if (at->second.run_at > now) continue;
        Command command = std::move(at->second);
        commands_.erase(at);
        execute(command);
    }
}

void ModelTarget::receive(int id, Micros now, std::span<const std::uint8_t> bytes) {
    Conn& conn = conns_.at(id);
    if (!conn.is_alive || !is_up) return;
    now_ = now;
    conn.in.add(bytes);
    while (conn.is_alive && !conn.wants_close) {
        const auto pdu = conn.in.next();
        if (!pdu) break;
        on_pdu(id, now, *pdu);
    }
    if (conn.in.is_broken()) complain("digest or AHS");
}

bool ModelTarget::check_numbers(Conn& conn, const Pdu& pdu) {
    const bool is_of_another = pdu.opcode() == kLogout && (pdu.bhs[1] & 0x7f) == 2;
    const std::uint32_t ack = is_of_another ? conn.last_ack : pdu.expected_stat_sn();
    if (is_after(ack, conn.stat_sn)) complain("ExpStatSN is ahead of what was sent");
    if (is_after(conn.last_ack, ack)) complain("ExpStatSN went back");
    conn.last_ack = ack;
    conn.is_unheard_of = false;
    forget_acknowledged(conn);
    if (pdu.opcode() == kDataOut || pdu.opcode() == kSnack) return true;
    const bool is_alone = !conn.session->is_split;
    if (pdu.is_immediate()) {
        const bool is_low = is_after(conn.session->expected_cmd_sn, pdu.cmd_sn());
        if (is_low && is_alone) complain("immediate CmdSN too low");
        return true;
    }
    if (pdu.cmd_sn() != conn.session->expected_cmd_sn && is_alone) {
        complain("CmdSN is not the next one");
        return false;
    }
    const bool is_beyond = is_after(pdu.cmd_sn(), conn.session->max_cmd_sn);
    if (is_beyond && !conn.session->has_lied) complain("CmdSN beyond the window");
    return !is_after(conn.session->expected_cmd_sn, pdu.cmd_sn());
}

void ModelTarget::on_pdu(int id, Micros now, const Pdu& pdu) {
    Conn& conn = conns_.at(id);
    if (pdu.opcode() == kLogin) return on_login(id, pdu);
    if (!conn.is_full) return complain("PDU before login is over");
    if (!check_numbers(conn, pdu)) return;
    const auto session = conn.session;
    check_retry(*session, pdu);
    if (!is_in_turn(id, now, pdu)) return;
    take_pdu(id, now, pdu);
    take_turns(session, now);
}

void ModelTarget::on_login(int id, const Pdu& pdu) {
    Conn& conn = conns_.at(id);
    if (conn.is_full) return complain("login after login");
    const bool is_full_up = !conn.session && !join_session(id, pdu);
    LoginAnswer answer = answer_login(pdu, parameters_, conn.agreed);
    const bool is_refused = is_full_up || strikes(faults.login_busy);
    const bool is_redirected = !is_refused && strikes(faults.redirect);
    if (is_refused || is_redirected) {
        answer.response.put(36, 2, is_full_up ? 0x0206 : (is_refused ? 0x0301 : 0x0101));
        answer.response.bhs[1] = 0;
        answer.response.data.clear();
        if (is_redirected) {
            answer.response.data = make_text({{"TargetAddress", "192.0.2.1:3260"}});
        }
        conn.wants_close = true;
        answer.is_last = false;
    }
    if (answer.is_last) answer.response.put(14, 2, conn.session->tsih);
    send(conn, answer.response, true);
    if (!answer.is_last) return;
    if (pdu.get(14, 2) == 0) conn.session->agreed = conn.agreed;
    conn.cid = static_cast<std::uint16_t>(pdu.get(20, 2));
    conn.isid = pdu.get(8, 6);
    const int old = holder_of(*conn.session, conn.cid);
    if (old != 0 && old != id) log_out_for_recovery(*conn.session, old, conn.lost_ack);
    conn.is_full = true;
    conn.is_unheard_of = pdu.get(14, 2) != 0;
    conn.last_ack = conn.stat_sn;
    conn.in.digests = conn.agreed.digests;
}

bool ModelTarget::fault_instead(int id, const Pdu& pdu) {
    Conn& conn = conns_.at(id);
    if (strikes(faults.reject)) {
        --conn.session->expected_cmd_sn;
        send_reject(conn, pdu, random_.one_in(2) ? 0x04 : 0x09);
        conn.wants_close = true;
        return true;
    }
    if (std::exchange(conn.has_attention, false) && pdu.cdb(0) != 0xa0 && pdu.cdb(0) != 0x12) {
        send_sense(conn, pdu, 0x06, 0x2900);
        return true;
    }
    if (strikes(faults.attention)) {
        constexpr std::array<std::uint16_t, 5> kCodes{0x2900, 0x2a09, 0x3f0e, 0x2a01, 0x2f00};
        send_sense(conn, pdu, 0x06, kCodes.at(random_.below(kCodes.size())));
        return true;
    }
    if (strikes(faults.busy)) {
        constexpr std::array<std::uint8_t, 3> kStatuses{0x08, 0x28, 0x40};
        send_status(conn, pdu, kStatuses.at(random_.below(kStatuses.size())));
        return true;
    }
    return false;
}

void ModelTarget::on_command(int id, Micros now, const Pdu& pdu) {
    Conn& conn = conns_.at(id);
    if (rejects_data(conn, pdu)) return;
    if (!pdu.is_immediate()) ++conn.session->expected_cmd_sn;
    const bool is_write = (pdu.bhs[1] & 0x20) != 0;
    const std::uint32_t total = pdu.u32(20);
    const auto immediate = static_cast<std::uint32_t>(pdu.data.size());
    const bool has_more = is_write && !pdu.is_final();
    if (immediate > 0 && !conn.agreed.immediate_data) complain("immediate data not agreed");
    if (has_more && conn.agreed.initial_r2t) complain("unsolicited data not agreed");
    if (immediate > std::min({conn.agreed.first_burst_bytes, parameters_.max_recv_bytes, total})) {
        complain("too much immediate data");
    }
    for (const auto& [order, other] : commands_) {
        if (other.conn == id && other.pdu.itt() == pdu.itt()) complain("task tag in use");
    }
    if (strikes(faults.ping)) {
        Pdu ping;
        ping.bhs[0] = kNopIn;
        ping.bhs[1] = 0x80;
        ping.put(16, 4, kNone).put(20, 4, static_cast<std::uint32_t>(random_.below(1000)));
        send(conn, ping, false);
    }
    if (strikes(faults.async)) {
        Pdu async;
        async.bhs[0] = kAsync;
        async.bhs[1] = 0x80;
        async.put(8, 8, 0).put(16, 4, kNone);
        async.put(36, 1, 1 + random_.below(4)).put(40, 2, random_.below(2)).put(42, 2, 3);
        send(conn, async, true);
    }
    // A command whose unsolicited data still comes is answered at its end only.
    if (!has_more && fault_instead(id, pdu)) return;
    Command command{.conn = id, .pdu = pdu, .data = {}};
    command.is_silent = strikes(faults.silent);
    command.is_refused = conflicts(conn, pdu);
    if (is_write) {
        command.data = pdu.data;
        command.have = immediate;
        command.data.resize(total);
        command.asked = has_more ? std::min(conn.agreed.first_burst_bytes, total) : immediate;
        command.sequence_end = command.asked;
    }
    const auto order = next_command_++;
    commands_[order] = std::move(command);
    if (!has_more) ask_or_queue(now, commands_[order]);
}

void ModelTarget::ask_or_queue(Micros now, Command& command) {
    Conn& conn = conns_.at(command.conn);
    const auto total = static_cast<std::uint32_t>(command.data.size());
    if (command.have == total) {
        command.run_at = now + 20 + static_cast<Micros>(random_.below(2000));
        if (strikes(faults.hold)) {
            command.run_at +=
                static_cast<Micros>(random_.below(static_cast<std::uint64_t>(faults.hold_max)));
        }
        return;
    }
    const std::uint32_t bytes = std::min(total - command.have, conn.agreed.max_burst_bytes);
    command.ttt = static_cast<std::uint32_t>(random_.below(1000));
    command.asked = command.have + bytes;
    command.sequence_end = command.asked;
    command.data_sn = 0;
    Pdu r2t;
    r2t.bhs[0] = kR2t;
    r2t.bhs[1] = 0x80;
    r2t.put(8, 8, command.pdu.get(8, 8)).put(16, 4, command.pdu.itt()).put(20, 4, command.ttt);
    r2t.put(36, 4, command.r2t_sn++).put(40, 4, command.have).put(44, 4, bytes);
    send(conn, r2t, false);
}

void ModelTarget::on_data_out(int id, Micros now, const Pdu& pdu) {
    const auto found = std::ranges::find_if(commands_, [&](const auto& item) {
        return item.second.conn == id && item.second.pdu.itt() == pdu.itt() &&
               item.second.run_at == kNever;
    });
    if (found == commands_.end()) {  // Of a command that has been answered, or stray.
        const bool is_stray = std::ranges::any_of(commands_, [&](const auto& item) {
            const Command& other = item.second;
            return other.pdu.itt() == pdu.itt() && other.run_at == kNever && other.conn != id &&
                   conns_.at(other.conn).session == conns_.at(id).session;
        });
        if (is_stray) complain("Data-Out over another connection than its command's");
        return;
    }
    Command& command = found->second;
    if (discards(id, now, command, pdu)) return;
    const auto bytes = static_cast<std::uint32_t>(pdu.data.size());
    if (pdu.ttt() != command.ttt) complain("Data-Out with a wrong transfer tag");
    if (pdu.u32(36) != command.data_sn++) complain("Data-Out with a wrong DataSN");
    if (pdu.u32(40) != command.have) complain("Data-Out with a wrong offset");
    if (bytes > parameters_.max_recv_bytes) complain("Data-Out segment too long");
    if (command.have + bytes > command.sequence_end) return complain("more data than asked for");
    std::ranges::copy(pdu.data, command.data.begin() + command.have);
    command.have += bytes;
    const bool is_end = command.have == command.sequence_end;
    if (pdu.is_final() != is_end) return complain("F bit of a Data-Out sequence");
    if (is_end) ask_or_queue(now, command);
}

void ModelTarget::on_management(int id, Micros now, const Pdu& pdu) {
    Conn& conn = conns_.at(id);
    if (!pdu.is_immediate()) complain("task management must be immediate here");
    Pdu answer;
    answer.bhs[0] = kTaskResponse;
    answer.bhs[1] = 0x80;
    answer.put(16, 4, pdu.itt());
    const std::uint8_t function = pdu.bhs[1] & 0x7f;
    if (strikes(faults.deaf_management)) return;
    if (strikes(faults.refuse_management)) {
        answer.bhs[2] = random_.one_in(2) ? 5 : 255;
    } else if (function == 8) {
        answer.bhs[2] = reassign(id, pdu);
        send(conn, answer, true);
        if (answer.bhs[2] == 0) go_on(id, now, pdu);
        return;
    } else if (function == 1) {
        answer.bhs[2] = abort(id, pdu.ttt()) ? 0 : 1;
    } else {
        commands_.clear();  // Of every session: this is what makes it a fence.
        for (auto& [other, each] : conns_) each.has_attention = true;
    }
    send(conn, answer, true);
}

void ModelTarget::on_nop_out(int id, const Pdu& pdu) {
    Conn& conn = conns_.at(id);
    if (pdu.itt() == kNone) return;
    if (!pdu.is_immediate()) ++conn.session->expected_cmd_sn;
    Pdu answer;
    answer.bhs[0] = kNopIn;
    answer.bhs[1] = 0x80;
    answer.put(16, 4, pdu.itt()).put(20, 4, kNone);
    answer.data = pdu.data;
    send(conn, answer, true);
}

void ModelTarget::on_logout(int id, const Pdu& pdu) {
    Conn& conn = conns_.at(id);
    if ((pdu.bhs[1] & 0x7f) == 2 && keeps_commands(conn)) return on_recovery_logout(id, pdu);
    if ((pdu.bhs[1] & 0x7f) != 0) complain("logout for another reason than the session's end");
    Pdu answer;
    answer.bhs[0] = kLogoutResponse;
    answer.bhs[1] = 0x80;
    answer.put(16, 4, pdu.itt());
    send(conn, answer, true);
    for (const int other : conn.session->conns) {
        conns_.at(other).wants_close = true;
        std::erase_if(commands_, [&](const auto& item) { return item.second.conn == other; });
    }
}

Bytes ModelTarget::unit_data(const Pdu& pdu) const {
    const std::uint8_t operation = pdu.cdb(0);
    if (operation == 0x5e) return reservation_data(pdu);
    Bytes data;
    if (operation == 0xa0) {
        data.resize(16);
        put(data, 0, 4, 8);
        put(data, 8, 8, kSimLun);
    } else if (operation == 0x12 && (pdu.cdb(1) & 1) == 0) {
        data.resize(36, ' ');
        std::fill_n(data.begin(), 8, std::uint8_t{0});
        data[2] = 6;
        data[4] = 31;
    } else if (operation == 0x12) {
        // LBPU, LBPWS, LBPRZ on B2; limits are left open.
        if (pdu.cdb(2) == 0x00) return {0, 0, 0, 2, 0x00, 0xb2};
        if (pdu.cdb(2) == 0xb2) return {0, 0xb2, 0, 4, 0, 0xc4, 2, 0};
    } else if (operation == 0x9e) {
        data.resize(32);
        put(data, 0, 8, disk_.block_count() - 1);
        put(data, 8, 4, kSimBlockBytes);
        data[14] = 0xc0;
    } else if (operation == 0x1a) {
        data.resize(24);
        data[0] = 23;
        data[2] = cache_mode & 0x10;
        data[4] = 0x08;
        data[5] = 18;
        data[6] = cache_mode & 0x04;
    }
    return data;
}

void ModelTarget::execute(Command& command) {
    Conn& conn = conns_.at(command.conn);
    if (command.is_ghost) return send_status(conn, command.pdu, 0);
    if (!conn.is_alive) ++late_executions_;
    const Pdu& pdu = command.pdu;
    const std::uint8_t operation = pdu.cdb(0);
    const bool is_through = (cache_mode & 0x04) == 0;
    if (command.is_refused) return send_status(conn, pdu, 0x18);
    if (operation == 0x5f) return reserve_out(command);
    Bytes answer;
    if (operation == 0x8a) {
        const bool is_fua = (pdu.cdb(1) & 0x08) != 0;
        disk_.write(extent_of(pdu).lba, command.data, is_fua || is_through);
    } else if (operation == 0x93) {
        const Extent extent = extent_of(pdu);
        for (std::uint32_t i = 0; i < extent.blocks; ++i) {
            disk_.write(extent.lba + i, command.data, is_through);
        }
    } else if (operation == 0x42) {
        const std::span<const std::uint8_t> list{command.data};
        std::uint64_t lba = 0;
        for (std::size_t i = 8; i < 16; ++i) lba = (lba << 8) | list[i];
        std::uint32_t blocks = 0;
        for (std::size_t i = 16; i < 20; ++i) blocks = (blocks << 8) | list[i];
        const Bytes zeroes(kSimBlockBytes);
        for (std::uint32_t i = 0; i < blocks; ++i) disk_.write(lba + i, zeroes, is_through);
    } else if (operation == 0x35 || operation == 0x91) {
        disk_.flush();
    } else if (operation == 0x88) {
        const Extent extent = extent_of(pdu);
        for (std::uint32_t i = 0; i < extent.blocks; ++i) {
            const Bytes& block = disk_.block(extent.lba + i);
            answer.insert(answer.end(), block.begin(), block.end());
        }
    } else if (operation != 0x00) {
        answer = unit_data(pdu);
        if (answer.empty()) return send_sense(conn, pdu, 0x05, 0x2400);
    }
    if (command.is_silent || (!conn.is_alive && !keeps_commands(conn))) return;
    if (answer.empty()) return send_status(conn, pdu, 0);
    answer.resize(std::min<std::size_t>(answer.size(), pdu.u32(20)));
    send_read(conn, pdu, answer);
}

void ModelTarget::send_read(Conn& conn, const Pdu& pdu, Bytes data) {
    const auto total = static_cast<std::uint32_t>(data.size());
    const std::uint32_t rest = pdu.u32(20) - total;
    const bool is_merged = may_merge_status && random_.one_in(2);
    std::uint32_t data_sn = 0;
    for (std::uint32_t at = 0; at < total;) {
        const auto bytes =
            std::min<std::uint32_t>({total - at, conn.agreed.initiator_recv_bytes,
                                     512 * (1 + static_cast<std::uint32_t>(random_.below(8)))});
        Pdu in;
        in.bhs[0] = kDataIn;
        const bool is_last = at + bytes == total;
        if (is_last) in.bhs[1] = 0x80;
        if (is_last && is_merged) {
            in.bhs[1] = rest > 0 ? 0x83 : 0x81;
            in.put(44, 4, rest);
        }
        in.put(16, 4, pdu.itt()).put(20, 4, kNone).put(36, 4, data_sn++).put(40, 4, at);
        in.data.assign(data.begin() + at, data.begin() + at + bytes);
        if (is_last && !is_merged && strikes(faults.cut)) {
            data_sn = 0;  // ExpDataSN tells nothing.
            break;
        }
        if (strikes(faults.violation)) {
            in.put(36, 4, data_sn + 1);
            conn.has_lied = true;
        }
        const bool wants_ack = conn.agreed.error_recovery_level > 0 && !(is_last && is_merged);
        if (wants_ack && strikes(faults.acknowledge)) {
            in.bhs[1] |= 0x40;
            in.put(8, 8, kSimLun).put(20, 4, ++data_tag_);  // No two tasks may share one.
        }
        send(conn, in, is_last && is_merged);
        at += bytes;
    }
    if (is_merged) return;
    Pdu response;
    response.bhs[0] = kResponse;
    response.bhs[1] = rest > 0 ? 0x82 : 0x80;
    response.put(16, 4, pdu.itt()).put(36, 4, data_sn).put(44, 4, rest);
    send(conn, response, true);
}

void ModelTarget::send_status(Conn& conn, const Pdu& pdu, std::uint8_t status,
                              std::uint32_t data_sn) {
    Pdu response;
    response.bhs[0] = kResponse;
    response.bhs[1] = 0x80;
    response.bhs[3] = status;
    response.put(16, 4, pdu.itt()).put(36, 4, data_sn);
    send(conn, response, true);
}

void ModelTarget::send_sense(Conn& conn, const Pdu& pdu, std::uint8_t key, std::uint16_t code) {
    Pdu response;
    response.bhs[0] = kResponse;
    response.bhs[1] = 0x82;
    response.bhs[3] = 0x02;
    response.put(16, 4, pdu.itt()).put(44, 4, pdu.u32(20));
    response.data.resize(20);
    response.data[1] = 18;
    response.data[2] = 0x70;
    response.data[4] = key;
    response.data[9] = 10;
    put(response.data, 14, 2, code);
    send(conn, response, true);
}

void ModelTarget::send(Conn& conn, Pdu pdu, bool is_counted) {
    const bool is_gone = !conn.is_alive || conn.wants_close;
    if (is_gone && !keeps_commands(conn)) return;
    const std::uint32_t wrong = conn.is_full && strikes(faults.violation) ? 3 : 0;
    pdu.put(24, 4, conn.stat_sn + wrong);
    if (is_counted) ++conn.stat_sn;
    const std::uint32_t max = conn.session->expected_cmd_sn + window - 1;
    if (is_after(max, conn.session->max_cmd_sn)) conn.session->max_cmd_sn = max;
    pdu.put(28, 4, conn.session->expected_cmd_sn).put(32, 4, conn.session->max_cmd_sn);
    if (wrong != 0) conn.has_lied = true;
    keep(conn, pdu, is_counted);
    if (is_gone) return;  // It is numbered and kept, for whoever comes for it.
    const bool may_lose =
        conn.is_full && conn.agreed.error_recovery_level > 0 && pdu.opcode() != kLogoutResponse;
    if (may_lose && strikes(faults.lose)) return;
    put_oddly(conn, pdu);
}

}  // namespace holdfast::sim
